"""The exported page in a browser: from disk, without any request, with real events."""

from __future__ import annotations

import re

import numpy
import pytest
import torch
from chromium import FAINT, launched, until
from small_runs import decoded, untrained

from vaelab.explore import page as pages
from vaelab.explore.export import explorer_page

HAN = re.compile(r"[\u4e00-\u9fff]")
OUTSIDE = """() => [...document.querySelectorAll('main *, header *')].filter(e => {
    const r = e.getBoundingClientRect();
    return r.width && !e.closest('.scroll')
        && (r.left < -1 || r.right > document.documentElement.clientWidth + 1);
}).map(e => e.outerHTML.slice(0, 120))"""
PICTURE = """(i) => {
    const own = document.querySelectorAll('.decoded')[i], copy = document.createElement('canvas');
    [copy.width, copy.height] = [own.width, own.height];
    const g = copy.getContext('2d', {willReadFrequently: true});
    g.drawImage(own, 0, 0);
    return [...g.getImageData(0, 0, own.width, own.height).data].filter((_, j) => j % 4 === 0); }"""


@pytest.fixture(scope="module")
def browser():
    with launched() as opened:
        yield opened


@pytest.fixture
def visit(browser, tmp_path):
    contexts = []

    def opened(html, width=1440, theme="light", touch=False):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, has_touch=touch
        )
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        until(page, "performance.getEntriesByName('decoded').length > 0")
        page.path = path
        return page

    yield opened
    for context in contexts:
        context.close()


def splits(data):
    return data.train, data.valid, data.test


@pytest.fixture(scope="module")
def runs():
    from vaelab.data import load

    data = load("digits8x8")
    made = [untrained("ae", data), untrained("vae", data)]
    return made, data, explorer_page(made, ["ae", "vae"], splits=splits(data), most=300)


def settled(page, i=0):
    """The picture of a view once it has stopped changing."""
    before = None
    for _ in range(100):
        now = page.evaluate(PICTURE, i)
        if now == before:
            return torch.tensor(now)
        before = now
        page.wait_for_timeout(60)
    raise AssertionError("the picture never settles")


def code_of(page, i):
    text = page.locator(".view .facts").nth(i).inner_text()
    numbers = re.search(r"\((.*?)\)", text)
    return torch.tensor(
        [[float(x.replace("−", "-")) for x in numbers[1].split(",") if "…" not in x]]
    )


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1440, "light")])
def test_opens_quietly_from_disk_and_nothing_overflows(visit, runs, width, theme):
    page = visit(runs[2], width, theme)
    for language in ("en", "zh-Hans"):
        page.click(f'[data-set="{language}"]')
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate(FAINT) == []
    assert page.said == []
    asked = [u for u in page.asked if not u.startswith(("data:", "blob:"))]
    assert asked == [page.path.as_uri()]


def test_the_pointer_decodes_in_every_model_at_once(visit, runs):
    made, _data, html = runs
    page = visit(html)
    page.hover(".over >> nth=0", position={"x": 120, "y": 200})
    page.wait_for_timeout(100)
    page.hover(".over >> nth=0", position={"x": 150, "y": 90})
    for i, run in enumerate(made):
        picture = settled(page, i)
        expected = decoded(run, code_of(page, i)).flatten() / 16 * 255
        # The code is shown with two decimals, and pixels are whole.
        assert (picture - expected).abs().max() < 4
    assert not torch.equal(settled(page, 0), settled(page, 1))


def test_keys_move_the_pointer_and_set_the_ends_of_a_walk(visit, runs):
    page = visit(runs[2])
    page.focus(".over >> nth=1")
    before = code_of(page, 1)
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    settled(page, 1)
    moved = code_of(page, 1) - before
    assert moved[0, 1] > 2 * moved[0, 0] > 0
    strip = "document.querySelectorAll('.walk canvas')[0].toDataURL()"
    first = page.evaluate(strip)
    page.keyboard.press("a")
    until(page, f"{strip} !== {first!r}")
    page.keyboard.press("g")
    page.wait_for_selector('#reading[data-t="map.gap.many"]')
    assert page.said == []


def test_a_drawing_is_encoded_and_varied(visit, runs):
    page = visit(runs[2], touch=True)
    result = "document.querySelectorAll('.output .large')[1].toDataURL()"
    before = page.evaluate(result)
    page.locator(".draw").scroll_into_view_if_needed()
    box = page.locator(".draw").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 120, steps=4)
    page.mouse.up()
    until(page, f"{result} !== {before!r}")
    urls = "new Set([...s.children].map(c => c.toDataURL())).size"
    varied = f"[...document.querySelectorAll('.nine')].map(s => {urls})"
    until(page, f"{varied}[1] === 9")
    assert page.evaluate(varied)[0] == 1  # the posterior of an autoencoder is a point
    page.fill("#temperature", "0")
    until(page, f"{varied}[1] === 1")


def test_an_example_is_at_its_own_code_in_every_model(visit, runs):
    made, data, html = runs
    page = visit(html)
    page.click(".thumbs button >> nth=4")
    page.wait_for_selector('#reading[data-t="map.example"]')
    for i, run in enumerate(made):
        settled(page, i)
        assert (code_of(page, i) - run.encode(data.test.x[4:5])).abs().max() < 0.02


def test_sliders_are_in_order_of_rate_and_move_the_code(visit, digits):
    run = untrained("vae", digits, 5)
    page = visit(explorer_page([run], ["vae"], splits=splits(digits), most=60))
    labels = page.locator(".dimensions .slider span").all_inner_texts()
    assert labels[0] == "z0, 2.00 nats"
    assert len(labels) == 5
    assert page.locator(".dimensions .idle").count() == 1
    before = settled(page)
    page.locator(".dimensions input").nth(1).fill("2.5")
    page.wait_for_timeout(50)
    assert not torch.equal(settled(page), before)
    assert code_of(page, 0)[0, 1] == 2.5
    assert "two of 5 dimensions" in page.inner_text("#about")
    page.select_option('[data-label="tools.map"]', "1")
    assert "principal components of 5 dimensions" in page.inner_text("#about")
    assert page.said == []


def test_a_class_can_be_chosen(visit, digits):
    run = untrained("vae", digits, condition="labels")
    page = visit(explorer_page([run], ["vae"], splits=splits(digits), most=60))
    page.select_option('[data-label="tools.class"]', "7")
    picture, z = settled(page), code_of(page, 0)
    expected = run.conditioned_on("7").decode(z).flatten() / 16 * 255
    assert (picture - expected).abs().max() < 4
    assert page.said == []


def test_rows_of_a_table_have_the_names_of_their_columns(visit, tmp_path):
    from vaelab.data import load

    lines = [f"{i % 7}.5,{'red' if i % 3 else 'blue'},{i % 4}" for i in range(60)]
    path = tmp_path / "cars.csv"
    path.write_text("\n".join(["speed </script>,colour,doors", *lines]) + "\n")
    data = load(path)
    run = untrained("vae", data, net="mlp")
    html = explorer_page([run], ["vae"], splits=splits(data), most=60)
    path.unlink()
    page = visit(html, 390)
    texts = page.locator(".decoded th").all_inner_texts()
    assert texts == ["speed </script>", "colour", "doors"]
    assert page.locator(".decoded td").nth(1).inner_text() in ("red", "blue")
    assert page.evaluate(OUTSIDE) == []
    assert str(tmp_path) not in html
    assert "null" not in page.inner_text("main")
    assert "–×" not in page.inner_text("main")  # codes of repeated rows have no distance
    assert page.said == []


def test_series_are_drawn_as_lines(visit, tmp_path):
    from vaelab.data import load

    numpy.save(tmp_path / "x.npy", torch.rand(80, 12, 2).numpy())
    data = load(tmp_path / "x.npy", kind="series")
    run = untrained("vae", data, net="mlp")
    page = visit(explorer_page([run], ["vae"], splits=splits(data), most=60))
    drawn = "document.querySelector('.decoded').toDataURL()"
    before = page.evaluate(drawn)
    page.hover(".over", position={"x": 300, "y": 60})
    until(page, f"{drawn} !== {before!r}")
    assert page.said == []


def test_a_run_without_its_data_has_no_codes_and_still_decodes(visit, digits):
    run = untrained("vae", digits)
    run.recipe.data.__dict__["source"] = "array"
    page = visit(explorer_page([run], ["vae"]))
    before = settled(page)
    page.hover(".over", position={"x": 300, "y": 60})
    page.wait_for_timeout(50)
    assert not torch.equal(settled(page), before)
    assert page.locator("text=Go to a gap").count() == 0
    assert page.said == []


def test_runs_of_different_data_are_refused(digits):
    from vaelab.data import load

    other = untrained("vae", load("digits"), 2)
    with pytest.raises(ValueError, match="one page compares runs of the same data"):
        explorer_page([untrained("vae", digits), other], ["a", "b"])


def test_the_language_changes_all_texts(visit, runs):
    page = visit(runs[2])
    page.click('[data-set="zh-Hans"]')
    assert HAN.search(page.title())
    assert HAN.search(page.get_attribute(".over >> nth=0", "aria-label"))
    page.wait_for_timeout(300)
    for line in page.inner_text("main").splitlines():
        assert not re.search(r"\b(the|of|and|is|are)\b", line), line
    page.reload()
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"


def test_both_languages_have_the_same_texts_and_blanks():
    en, zh = pages.texts("en"), pages.texts("zh")
    assert en.keys() == zh.keys()
    for key, text in en.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", zh[key])), key
        assert HAN.search(zh[key]) or key in ("facts.code", "dims.rate", "sweep.loss"), key


def test_every_text_is_used_and_every_key_exists():
    scripts = "".join(pages._text(name) for name in (*pages.SCRIPTS, "index.html"))
    made = {
        "facts.lost",
        "facts.returned",
        "about.test",
        "about.all",
        "sweep.distortion",
        "sweep.rate",
        "sweep.loss",
    }
    for key in pages.texts("en"):
        assert f'"{key}"' in scripts or key in made, key
    used = re.findall(r'\bt\("([a-z.]+)"|data-t="([a-z.]+)"|worded\("\w+", "([a-z.]+)"', scripts)
    assert {next(filter(None, groups)) for groups in used} <= set(pages.texts("en"))


def test_the_code_of_a_page_is_small():
    size = sum(
        len(pages._bytes(n))
        for n in {*pages.SCRIPTS, *pages.WORKER, "style.css", "first.js", "index.html", "gemm.wasm"}
    )
    assert size < 160_000
