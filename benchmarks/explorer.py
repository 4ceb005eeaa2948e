"""Time from a movement of the pointer to the decoded picture, in Chromium, and the page's size.

    python benchmarks/explorer.py [--moves 200]

The models are those of MNIST's shape at their initial weights, a perceptron and convolutions: the
time does not depend on what they have learned. The page is opened from disk. Each movement is a
real event of the mouse; its time is that of the page's own clock, from the event to the painted
canvas.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from importlib import resources
from pathlib import Path

import torch

from vaelab.data import Data, load
from vaelab.explore import page as pages
from vaelab.explore.export import explorer_page
from vaelab.recipes import vae
from vaelab.recipes.design import Design
from vaelab.runs.latent_summary import Codes
from vaelab.runs.run import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chromium import launched, until

CLOCK = """() => {
    globalThis.moved = 0;
    globalThis.times = [];
    const map = document.querySelector('.over');
    map.addEventListener('pointermove', (e) => { moved = e.timeStamp; }, true);
    const add = (mark) => { if (moved) times.push(mark.startTime - moved); };
    new PerformanceObserver((list) => list.getEntriesByName('decoded').forEach(add))
        .observe({ type: 'mark' });
}"""


def model(data: Data, net: str) -> Run:
    """A VAE with 2 latent dimensions at its initial weights."""
    torch.manual_seed(0)
    recipe = vae(data.spec, 2, design=Design(net=net))
    return Run(recipe, {}, [], Codes([0.0, 0.0], [1.0, 1.0], None))


def measure(html: str, moves: int) -> list[float]:
    """Milliseconds from the pointer to the picture, one for each movement."""
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        path = Path(folder) / "page.html"
        path.write_text(html, encoding="utf-8")
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.select_option('[data-label="tools.background"]', "codes")
        page.wait_for_timeout(8000)  # the background of the map is decoded first
        page.evaluate(CLOCK)
        box = page.locator(".over").first.bounding_box()
        for i in range(moves):
            page.mouse.move(box["x"] + 40 + (i * 37) % 400, box["y"] + 40 + (i * 53) % 400)
            until(page, f"times.length > {i}")
        return list(page.evaluate("times"))[5:]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=200)
    moves = parser.parse_args().moves
    data = load("digits")
    folder = resources.files("vaelab.explore") / "page"
    names = {*pages.SCRIPTS, *pages.WORKER, "style.css", "first.js", "index.html", "gemm.wasm"}
    code = sum(len((folder / name).read_bytes()) for name in names)
    print(f"code of the page: {code / 1000:.0f} kB")
    print("net   median ms   95th percentile ms   file MB")
    for net in ("mlp", "conv"):
        html = explorer_page([model(data, net)], [net], splits=(data.train, data.valid, data.test))
        times = measure(html, moves)
        high = statistics.quantiles(times, n=20)[-1]
        size = len(html.encode()) / 1e6
        print(f"{net:<5} {statistics.median(times):>9.1f}   {high:>18.1f}   {size:>7.1f}")


if __name__ == "__main__":
    main()
