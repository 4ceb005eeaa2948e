import re

import pytest
from chromium import FAINT, launched
from understand_study import a_study, written

HAN = re.compile(r"[\u4e00-\u9fff]")


CLIPPED = """() => [...document.querySelectorAll('body *')].filter(e => {
    const s = getComputedStyle(e);
    return e.clientWidth && !e.closest('svg, math') && s.display !== 'inline'
        && e.scrollWidth > e.clientWidth + 1;
}).map(e => e.outerHTML.slice(0, 120))"""

OUTSIDE = """() => [...document.querySelectorAll('main *, header *')].filter(e => {
    const r = e.getBoundingClientRect();
    return r.width && (r.left < -1 || r.right > document.documentElement.clientWidth + 1);
}).map(e => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser():
    with launched() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return written(tmp_path_factory.mktemp("page"), a_study()).as_uri()


@pytest.fixture
def visit(browser, address):
    contexts = []

    def opened(width=1440, theme="light", touch=False, at=address):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, has_touch=touch
        )
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(at)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_opens_quietly_and_nothing_overflows(visit, address, width):
    page = visit(width)
    for language in ("en", "zh-Hans"):
        page.click(f'[data-set="{language}"]')
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate(CLIPPED) == []
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [address]


def test_switching_language_leaves_none_of_the_other_and_keeps_the_place(visit):
    page = visit()
    assert not HAN.search(page.inner_text("main"))
    assert page.title() == "Why a variational autoencoder?"
    page.evaluate("document.querySelector('#continuous h2').scrollIntoView()")
    before = page.evaluate("document.querySelector('#continuous h2').getBoundingClientRect().top")
    page.evaluate("document.querySelector('[data-set=zh-Hans]').click()")
    after = page.evaluate("document.querySelector('#continuous h2').getBoundingClientRect().top")
    assert abs(before - after) <= 2
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert HAN.search(page.title())
    assert HAN.search(page.get_attribute("#walks img", "alt"))
    english = "[...document.querySelectorAll('body [lang=en]:not([data-set])')]"
    assert page.evaluate(f"{english}.every(e => !e.getClientRects().length)")
    for sentence in re.split(r"[。！？\n]", page.inner_text("main")):
        assert not re.search(r"\b(the|of|and|is|are)\b", sentence), sentence


def test_language_and_theme_are_remembered(visit):
    page = visit()
    page.click('[data-set="zh-Hans"]')
    page.click("#theme")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert page.get_attribute('[data-set="zh-Hans"]', "aria-pressed") == "true"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(visit, theme):
    page = visit(theme=theme)
    page.focus(".num >> visible=true")
    assert page.evaluate(FAINT) == []


def test_the_theme_follows_the_system_until_it_is_chosen(visit):
    grounds = []
    for theme in ("light", "dark"):
        page = visit(theme=theme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.click("#theme")
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] == grounds[3] != grounds[1] == grounds[2]


def test_a_number_explains_itself_to_the_keyboard(visit):
    page = visit()
    page.focus("nav li:last-child a")
    page.keyboard.press("Tab")
    number = "document.activeElement"
    assert page.evaluate(f"{number}.className") == "num"
    assert page.is_visible("#tip")
    assert page.evaluate(f"{number}.getAttribute('aria-describedby')") == "tip"
    tip = page.inner_text("#tip")
    assert "Share of 10,000 draws from" in tip
    assert "seed 0" in tip
    box = page.evaluate(
        "(() => { const r = document.querySelector('#tip').getBoundingClientRect();"
        "return [r.left >= 0, r.right <= innerWidth, r.top >= 0, r.bottom <= innerHeight] })()"
    )
    assert all(box)
    page.keyboard.press("Escape")
    assert not page.is_visible("#tip")


def test_a_number_explains_itself_to_a_finger(visit):
    page = visit(390, touch=True)
    page.tap("#gap .num >> visible=true >> nth=0")
    assert page.is_visible("#tip")
    assert page.evaluate(
        "document.querySelector('#tip').getBoundingClientRect().right <= innerWidth"
    )
    page.tap("#gap h2")
    assert not page.is_visible("#tip")


def test_the_page_of_other_data_fits_a_phone(visit, tmp_path):
    study = a_study(labels=False, image=False)
    page = visit(390, at=written(tmp_path, study, "zh").as_uri())
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(OUTSIDE) == []
    assert page.said == []
