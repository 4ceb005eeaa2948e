"""Checks of the values of a data set: range, codes for missing values, outliers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import torch
from torch import Tensor

from vaelab.doctor.data_fixes import kept_rows, named, on_array
from vaelab.doctor.data_measurements import DataMeasurements
from vaelab.doctor.findings import Evidence, Finding, Findings, Fix, short
from vaelab.utils.messages import Message, joined

OUTLIER = 50.0
FREQUENT, SEVERAL = (5, 0.005), 10
"""Rows, and share of rows, of a code for missing values; distinct values that others must have."""
APART, CODED = 5.0, 2.0
"""Usual deviations between a code and all other values; fewer for −999 and its like."""
RANGES = {
    (0, 1): "x = x.clip(0, 1)",
    (-1, 1): "x = x.clip(-1, 1)",
    (0, 255): "x = x.clip(0, 255) / 255",
}
"""Scales that pixels have, and what brings them back to it."""
OVERSHOOT = 0.1
"""Share of a range by which a resize may leave it."""


def in_range(seen: DataMeasurements) -> Findings:
    """Are values in their expected range, without codes for missing values and far outliers?"""
    spec = seen.data.spec
    if spec.is_image:
        yield from _pixels(seen)
    if spec.domain == "binary" or (spec.is_image and spec.domain != "real"):
        return
    x = torch.cat([seen.train, seen.held])
    if spec.is_image:
        x = x.reshape(-1, 1)
    codes = {
        j: code for j in range(x.shape[1]) if (code := _sentinel(seen, x[:, j], j)) is not None
    }
    if codes:
        yield _sentinels(seen, x, codes)
    if not spec.is_image and spec.domain != "levels":
        yield from _outliers(seen, x, set(codes))


def _pixels(seen: DataMeasurements) -> Findings:
    spec = seen.data.spec
    low, high = spec.low, spec.high
    if spec.domain in ("real", "unit") and 0 <= low < high < 0.1:
        yield Finding(
            "image-range",
            "warning",
            Message(
                "what.image-range-dark",
                "pixels are in [0, 1] but reach {high:.3g} only: divided by 255 twice?",
                high=high,
            ),
            Evidence("greatest pixel", high, 0.1),
            Message("remedy.image-range-dark", "divide once, or not at all: x = x * 255"),
            Fix(
                "array", "x = np.clip(x * 255, 0, 1)" if high * 255 <= 1.001 else "x = x / x.max()"
            ),
        )
    elif spec.domain == "real":
        for (start, end), change in RANGES.items():
            over = OVERSHOOT * (end - start)
            if start - over <= low and high <= end + over and high - low > 0.2 * (end - start):
                beyond = low < start or high > end
                what = (
                    Message(
                        "part.overshoot",
                        "a little beyond {start}–{end}, as after a resize",
                        start=start,
                        end=end,
                    )
                    if beyond
                    else Message(
                        "part.fractions", "fractions within {start}–{end}", start=start, end=end
                    )
                )
                yield _image_range(low, high, what, change)
                return
        what = Message("part.own-scale", "standardised, or on a scale of their own")
        yield _image_range(low, high, what, "x = (x - x.min()) / (x.max() - x.min())")


def _image_range(low: float, high: float, what: Message, change: str) -> Finding:
    return Finding(
        "image-range",
        "warning",
        Message(
            "what.image-range",
            "pixels lie from {low!r} to {high!r}, {what}; no likelihood of images fits",
            low=low,
            high=high,
            what=what,
        ),
        Evidence("least pixel" if low < 0 else "greatest pixel", low if low < 0 else high),
        change,
        Fix("array", change),
    )


def _sentinel(seen: DataMeasurements, values: Tensor, column: int) -> float | None:
    """A value at an end of a column that is frequent, and far from all others."""
    spec = seen.data.spec
    if spec.columns and spec.columns[column % len(spec.columns)].kind in ("binary", "categories"):
        return None
    for end in (values.min(), values.max()):
        rest = values[values != end]
        count = len(values) - len(rest)
        if count < max(FREQUENT[0], FREQUENT[1] * len(values)) or len(rest) < SEVERAL:
            continue
        if len(rest[:4096].unique()) < SEVERAL:
            continue
        order = rest.sort().values
        usual = float(order[3 * len(order) // 4] - order[len(order) // 4]) / 1.35
        gap = float((rest - end).abs().min())
        needed = CODED if _is_code(float(end)) else APART
        if gap > needed * max(usual, 1e-300):
            return float(end)
    return None


def _is_code(value: float) -> bool:
    """True for −999, 9999, −99.9 and their like.

    >>> _is_code(-999.0), _is_code(99.99), _is_code(-1.0), _is_code(42.0)
    (True, True, True, False)
    """
    digits = f"{abs(value):g}".replace(".", "")
    return value == -1 or (len(digits) > 1 and set(digits) == {"9"}) or abs(value) > 1e29


def _sentinels(seen: DataMeasurements, x: Tensor, codes: Mapping[int, float]) -> Finding:
    spec = seen.data.spec
    column, code = next(iter(codes.items()))
    share = float((x[:, column] == code).double().mean())
    places = [
        Message(
            "part.code-in-column",
            "{code} in {share:.0%} of column {name}",
            code=short(v),
            share=float((x[:, j] == v).double().mean()),
            name=named(seen, [j]),
        )
        for j, v in list(codes.items())[:4]
    ]
    if spec.is_image:
        text = "{code} in {share:.0%} of the pixels"
        places = [Message("part.code-in-pixels", text, code=short(code), share=share)]
    code_text = f"{code:g}"
    if spec.header:
        conditions = " & ".join(
            f"(frame[{spec.headings[j].name!r}] != {v:g})" for j, v in codes.items()
        )
        fix = Fix("table", f"frame = frame[{conditions}]")
    elif spec.is_image or len(spec.shape) > 1:
        fix = Fix("array", f"x = np.where(x == {code_text}, x[x != {code_text}].min(), x)")
    else:
        conditions = " & ".join(f"(x[:, {j}] != {v:g})" for j, v in codes.items())
        fix = Fix("array", kept_rows(seen, conditions))
    return Finding(
        "sentinel",
        "warning",
        Message(
            "what.sentinel",
            "a code for missing values is taken for a number: {places}, far from every other value",
            places=joined("; ", places),
        ),
        Evidence("share of rows with it", share, FREQUENT[1]),
        Message(
            "remedy.sentinel",
            "leave these rows out ({change}), or fill the values in",
            change=fix.change,
        ),
        fix,
    )


def _outliers(seen: DataMeasurements, x: Tensor, but: set[int]) -> Findings:
    spec = seen.data.spec
    kinds = [
        spec.columns[j % len(spec.columns)].kind if spec.columns else "" for j in range(spec.dims)
    ]
    positive = torch.tensor([kind == "positive" for kind in kinds])
    far = _distance(torch.where(positive, x.clamp(min=1e-300).log(), x))  # as they are modelled
    far[list(but)] = 0.0
    if not float(far.max()) > OUTLIER:
        return
    j = int(far.argmax())
    remedy, fix = _tamed(seen, x[:, j], j, kinds[j])
    yield Finding(
        "outliers",
        "warning",
        Message(
            "what.outliers",
            "column {name} has a value {far:,.0f} usual deviations from its median: the rest of it "
            "is squeezed into nothing",
            name=named(seen, [j]),
            far=float(far[j]),
        ),
        Evidence("farthest value", float(far[j]), OUTLIER, "usual deviations"),
        remedy,
        fix,
    )


def _distance(x: Tensor) -> Tensor:
    """The farthest value of each column (N, D), in usual deviations from its median, (D,)."""
    order = x.sort(0).values
    low, middle, high = (order[len(x) * quarter // 4] for quarter in (1, 2, 3))
    usual = (high - low) / 1.35  # σ, of a normal
    far = (x - middle).abs().amax(0) / usual.clamp(min=1e-300)
    return torch.where(usual > 0, far, 0.0)  # a column that is mostly one value has no outlier


def _tamed(seen: DataMeasurements, column: Tensor, j: int, kind: str) -> tuple[str, Fix | None]:
    """A change that these very values can take, and that brings the farthest of them near."""
    spec = seen.data.spec
    name = spec.headings[j].name

    def near(values: Tensor) -> bool:
        return float(_distance(values[:, None])) <= OUTLIER

    if kind != "positive" and float(column.min()) > 0 and near(column.log()):
        if spec.header:
            flag = f"--columns {shlex.quote(f'{name}=positive')}"
            text = "{flag}, which models its logarithm"
            return Message("remedy.outliers-positive", text, flag=flag), Fix("read", flag)
        return f"x[:, {j}] = np.log(x[:, {j}])", on_array(seen, f"x[:, {j}] = np.log(x[:, {j}])")
    if kind != "positive" and float(column.min()) >= 0 and near(column.log1p()):
        change = f"np.log1p({{}}[{name!r}])" if spec.header else f"np.log1p({{}}[:, {j}])"
    else:
        order = column.sort().values
        low, high = (float(order[len(order) * quarter // 4]) for quarter in (1, 3))
        reach = 8 * (high - low)
        ends = (low - reach, high + reach)
        if kind == "positive":
            ends = (max(low / 100, float(order[order > 0][0])), 100 * high)
        place = f"[{name!r}]" if spec.header else f"[:, {j}]"
        change = f"{{}}{place}.clip({ends[0]:.6g}, {ends[1]:.6g})"
    if spec.header:
        code = f"frame[{name!r}] = {change.format('frame')}"
        return _looked_at(code), Fix("table", code)
    code = f"x[:, {j}] = {change.format('x')}"
    return _looked_at(code), on_array(seen, code)


def _looked_at(code: str) -> Message:
    return Message("remedy.outliers", "look at that row, or {code}", code=code)
