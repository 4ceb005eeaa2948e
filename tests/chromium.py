"""Chromium for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = next(
    (p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]

FAINT = """() => {
    const channels = (c) => c.match(/[\\d.]+/g).map(Number);
    const light = (c) => { const [r, g, b] = channels(c).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const behind = (e) => { for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor, [, , , a] = channels(c);
        if (a === undefined || a > 0.99) return c; } return 'rgb(255, 255, 255)'; };
    return [...document.querySelectorAll('body *')].filter(e => e.getClientRects().length
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
        const s = getComputedStyle(e), ink = e.closest('svg') ? s.fill : s.color;
        const [a, b] = [light(ink), light(behind(e))].sort((p, q) => q - p);
        return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 100)];
    }).filter(([c]) => c < 4.5); }"""
"""Script: texts whose contrast with their ground is below 4.5, with the contrast."""


@contextmanager
def launched() -> Iterator[Any]:
    """Start a browser; skip the test if there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def until(page: Any, expression: str) -> None:
    """Wait until an expression holds; a page's policy forbids playwright's own way of waiting."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"{expression} does not hold")
