"""The page of an evaluation in two languages."""

import ast
import re
from pathlib import Path

import pytest

import vaelab
from vaelab.evaluation.definitions import DEFINITIONS, GROUPS
from vaelab.reports.evaluation_page import translated
from vaelab.reports.evaluation_table import meaning_of, remarks
from vaelab.reports.page import link, render, tables
from vaelab.reports.translations import BLANK, Texts
from vaelab.utils.messages import Message

ENGLISH, CHINESE = (tables(f"evaluation/{language}.toml") for language in ("en", "zh"))


def keys(tree, room=""):
    for name, value in tree.items():
        yield from keys(value, f"{room}{name}.") if isinstance(value, dict) else [f"{room}{name}"]


def test_both_languages_have_the_same_texts():
    own = {"groups", "figures", "remarks", "features"}  # in English, these are in the code
    assert set(keys(ENGLISH)) == {k for k in keys(CHINESE) if k.partition(".")[0] not in own}
    assert set(CHINESE["groups"]) == set(GROUPS)
    assert set(CHINESE["figures"]) == set(DEFINITIONS)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_cite_the_same_papers_and_numbers_in_both_languages(name):
    english, chinese = DEFINITIONS[name], CHINESE["figures"][name]
    papers = [re.findall(r"\d{4}\.\d{4,5}", t) for t in (english.definition, chinese["definition"])]
    assert papers[0] == papers[1]
    assert set(BLANK.findall(english.meaning)) == set(BLANK.findall(chinese["meaning"]))


def test_remarks_have_a_translation_with_the_same_blanks():
    record = {
        "notes": [],
        "discrete": False,
        "annealed": 100,
        "bdmc_nll_above": 81.25,
        "bdmc_nll_below": 80.5,
        "acceptance": 0.815,
        "figures": {
            "nll": {"value": 80.0, "se": 1.0, "n": 9},
            "precision": {"value": 1.0, "se": 0.5, "n": 9},
        },
    }
    found = remarks(record)
    assert [message.key for message in found] == ["vague", "density", "sandwich"]
    assert "between 80.50 and 81.25 nats; 82% of" in found[2]
    chinese = Texts("zh", CHINESE)
    for message in found:
        said = translated(message, chinese)
        assert all(value in said for value in message.blanks.values()), message.key
        assert not BLANK.search(said)
    assert translated("A note without a translation.", chinese) == "A note without a translation."
    assert translated(Message("vague", "{titles}!", titles="<b>"), Texts("en", {})) == "<b>!"


def test_meanings_hold_the_numbers_of_the_evaluation():
    record = {"samples": 1500, "ceiling": 10.9985, "disentanglement": {"guess": 0.126}}
    meanings = {name: meaning_of(about, record) for name, about in DEFINITIONS.items()}
    assert meanings["nll"] == "−log p(x), bounded by 1,500 draws of z"
    assert "11.0" in meanings["information"]
    assert "0.13" in meanings["dci_informativeness"]


def test_text_of_blanks_is_escaped_and_html_is_not():
    texts = Texts(
        "en", {"a": "{name}: {link}"}, lookup={"name": "<i>&", "link": link("1", "x")}.get
    )
    assert texts.line("a") == ('&lt;i&gt;&amp;: <a class="num" href="#x" data-facts="">1</a>')


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match=r"'fr'.*en and zh"):
        render("evaluation.html", {}, "fr")


def test_every_note_of_an_evaluation_has_a_translation():
    """The keys and blanks of all Messages but the doctor's, read from the source."""
    found = {}
    package = Path(vaelab.__file__).parent
    for path in sorted(set(package.rglob("*.py")) - set((package / "doctor").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "Message"
                and path.stem != "messages"
            ):
                found[node.args[0].value] = {keyword.arg for keyword in node.keywords}
    assert set(found) == set(CHINESE["remarks"])
    for key, blanks in found.items():
        assert {name for name, _ in BLANK.findall(CHINESE["remarks"][key])} <= blanks, key
