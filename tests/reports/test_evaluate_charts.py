"""The charts of the evaluation's page: nothing is clipped, and axes have round values."""

import math
import re

import pytest
import torch

from vaelab.metrics import Estimate
from vaelab.reports import svg_charts

ACROSS, UP = {"en": "dimension", "zh": "维"}, {"en": "nats", "zh": "nat"}
ALT = {"zh": "甲 <b>", "en": "a <b>"}


def heights(svg):
    return [float(y) for y in re.findall(r' y[12]?="([-\d.]+)"', svg)]


def test_whiskers_end_within_the_chart_and_say_how_far_they_reach():
    rates = [Estimate(0.8, 0.3, 10), Estimate(0.05, 0.1, 10)]
    svg = svg_charts.bars(rates, [True, False], ACROSS, UP, ALT)
    assert min(heights(svg)) >= 0
    (low, high), (foot, _) = (
        (float(a), float(b)) for a, b in re.findall(r'whisker".*? y1="(.+?)" y2="(.+?)"', svg)
    )
    assert foot == svg_charts.FLOOR  # below 0 there is no rate
    per_nat = (svg_charts.FLOOR - svg_charts.TOP) / 1.4
    assert low - high == pytest.approx(4 * 0.3 * per_nat, abs=0.2)
    assert re.findall(r">([\d.]+)</text>", svg) == ["0", "0.5", "1"]
    assert re.findall(r">(z\d)</text>", svg) == ["z0", "z1"]
    assert re.findall(r'<text lang="(.+?)".*?>(\D+?)</text>', svg) == [
        *(("en", "nats"), ("zh-Hans", "nat"), ("en", "dimension"), ("zh-Hans", "维")),
    ]
    assert 'aria-label="甲 &lt;b&gt;" data-alt-en="a &lt;b&gt;" data-alt-zh="甲' in svg


def test_a_histogram_counts_and_marks_powers_of_ten():
    values = torch.cat([torch.full((300,), 1.0), torch.full((100,), 1000.0)])
    svg = svg_charts.histogram(values, ACROSS, UP, ALT, log=True)
    told = re.findall(r">([\d.,]+)</text>", svg)
    assert told == ["0", "50", "100", "150", "200", "250", "300", "1", "10", "100", "1,000"]
    assert min(heights(svg)) >= 0
    nats = svg_charts.histogram(torch.linspace(-5.3, 12.1, 400), ACROSS, UP, ALT)
    assert re.findall(r">(−?\d+)</text>", nats)[-4:] == ["−5", "0", "5", "10"]


@pytest.mark.parametrize("low", [-250.0, 0.0, 0.031, 17.3])
@pytest.mark.parametrize("width", [0.0007, 0.9, 3.0, 1e4])
def test_ticks_are_few_and_round(low, width):
    found = svg_charts.ticks(low, low + width)
    assert 2 <= len(found) <= 7
    step = found[1] - found[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 3) in (1.0, 2.0, 5.0)
    assert all(low - 1e-9 <= t <= low + width + 1e-9 for t in found)
