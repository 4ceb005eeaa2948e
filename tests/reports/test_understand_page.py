import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from understand_study import UNITS, a_study, claim, written

from vaelab.commands.main import overview
from vaelab.reports.page import tables
from vaelab.reports.svg_charts import CURVES_HEIGHT as HEIGHT
from vaelab.reports.svg_charts import LINE, curves
from vaelab.reports.translations import BLANK, LANGUAGES
from vaelab.reports.understand import write_page
from vaelab.reports.understand.figures import FIGURES
from vaelab.reports.understand.values import COMMANDS, state_of
from vaelab.understand.claims import ROWS, claims

VOID = {"meta", "link", "img", "br", "input", "hr", "mspace", "line", "circle", "rect"}
HAN = re.compile(r"[\u4e00-\u9fff]")


def texts(language):
    return tables(f"understand/{language}.toml", f"understand/{language}-figures.toml")


def formulas():
    return tables("understand/formulas.toml")


def visible(page):
    return "".join(page.texts["en"] + page.texts["zh-Hans"])


class Checker(HTMLParser):
    """Holds every tag against its end, and gathers text by language, loads and images."""

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.images, self.ids = [], [], [], set()
        self.texts = {"en": [], "zh-Hans": []}

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        for name in ("src", "href", "srcset", "poster", "action"):
            if given.get(name):
                self.loads.append(given[name])
        self.ids |= {given["id"]} if "id" in given else set()
        if tag == "img" or given.get("role") == "img":
            self.images.append(given)
        if tag not in VOID:
            self.open.append((tag, given.get("lang")))

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        opened = self.open.pop() if self.open else ("nothing", None)
        assert opened[0] == tag, f"</{tag}> closes <{opened[0]}> at {self.getpos()}"

    def handle_data(self, data):
        spoken = [language for _, language in self.open[1:] if language]
        if spoken and self.open[-1][0] not in ("style", "script"):
            self.texts[spoken[-1]].append(data)


def parsed(path):
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    checker.close()
    assert checker.open == []
    return checker


def keys(tree, room=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from keys(value, f"{room}{name}.")
        else:
            yield f"{room}{name}", value


def blanks(text):
    return {name for name, _ in BLANK.findall(text)}


def test_both_languages_have_the_same_texts_with_no_word_missing():
    english, chinese = (dict(keys(texts(language))) for language in LANGUAGES)
    assert set(english) == set(chinese)
    assert all(text.strip() for text in (*english.values(), *chinese.values()))
    known = {f"math.{name}" for name in formulas()}
    for name, text in [*english.items(), *chinese.items()]:
        unknown = {blank for blank in blanks(text) if blank.startswith("math.")} - known
        assert not unknown, name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_claim_and_figure_of_a_study_has_its_text(language):
    known = texts(language)
    assert set(known["claims"]) == {claim.id for claim in claims(0.1)}
    assert set(known["measures"]) == {row.figure for row in ROWS}


def test_both_languages_say_the_same_numbers():
    english, chinese = (dict(keys(texts(language))) for language in LANGUAGES)
    for name in english:
        said = [
            {b for b in blanks(t[name]) if b.endswith(tuple(UNITS))} for t in (english, chinese)
        ]
        assert said[0] == said[1], name


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_page_is_whole(tmp_path, labels, image, lang):
    study = a_study(labels, image)
    path = written(tmp_path, study, lang)
    text = path.read_text(encoding="utf-8")
    page = parsed(path)
    assert text.startswith(f'<!DOCTYPE html>\n<html lang="{"en" if lang == "en" else "zh-Hans"}">')
    assert not re.search(r"\{\{|\{[a-z_]+[.}]|\bNone\b|\bnan\b|\bnull\b", visible(page))
    assert all(load.startswith(("data:", "#")) for load in page.loads)
    assert {load[1:] for load in page.loads if load[0] == "#"} <= page.ids
    assert all(image["data-alt-en"] and HAN.search(image["data-alt-zh"]) for image in page.images)
    shown = {p["file"] for p in study["pictures"]}
    panels = [panel for figure in FIGURES.values() for panel in figure.panels]
    assert {panel.file for panel in panels} == shown
    assert len(page.images) == len(panels) + 5 + 2 * 2  # codes, curves
    assert not HAN.search("".join(page.texts["en"]))
    assert "k-NN balls" in text
    assert path.stat().st_size < 6e6


def test_without_classes_the_page_does_not_speak_of_them(tmp_path):
    said = visible(parsed(written(tmp_path, a_study(labels=False))))
    for word in ("by class", "of one class", "different classes", "evenness", "类别均匀度为"):
        assert word not in said, word
    assert "k-NN accuracy" not in said
    assert "input 1" in said
    assert "class 1" not in said


def test_what_are_not_images_are_not_called_images(tmp_path):
    page = parsed(written(tmp_path, a_study(image=False)))
    assert not re.search(r"\bimages?\b", "".join(page.texts["en"]))
    assert "图像" not in "".join(page.texts["zh-Hans"])
    assert "table <a>.npy" in visible(page)


def test_failing_and_undecided_claims_are_said_as_measured(tmp_path):
    path = written(tmp_path, a_study())
    page = parsed(path)
    english, chinese = ("".join(page.texts[tag]) for tag in ("en", "zh-Hans"))
    assert (
        "Of 6 comparisons that could be made here, 4 hold, 1 do not and 1 are undecided." in english
    )
    assert "共 6 项：4 项成立，1 项不成立，1 项无法判定" in chinese
    # In its section, and again in the summary.
    assert english.count("does not hold on this data: ") == 2
    assert chinese.count("在这份数据上不成立：") == 2
    assert english.count("undecided, the difference") == 2
    assert "MMD: VAE below AE." in english
    assert "the mark is 0.10\xa0nats" in english


def test_a_page_of_few_steps_or_a_silent_code_says_so_at_the_top(tmp_path):
    study = a_study()
    assert 'class="note"' not in written(tmp_path, study).read_text(encoding="utf-8")
    study["study"]["steps"] = 36
    english, chinese = _tops(written(tmp_path, study))
    assert "Each model had 36 steps; by default it has 1,308 (109 epochs)." in english
    assert "learned next to nothing" not in english
    assert "每个模型只训练了 36 步，默认是 1,308 步（109 轮）" in chinese
    study["study"]["steps"] = 1308
    study["models"]["vae-2"]["figures"]["rate"]["value"] = 0.14
    english, chinese = _tops(written(tmp_path, study))
    assert "Trained too briefly" not in english
    assert "learned next to nothing" in english
    assert "0.14\xa0nats" in english
    assert "几乎什么也没学到" in chinese


def _tops(path):
    page = parsed(path)
    return ("".join(page.texts[tag]).partition("budget:")[0] for tag in ("en", "zh-Hans"))


def test_nothing_fails_where_everything_holds(tmp_path):
    study = a_study()
    study["claims"] = study["claims"][:2]
    said = visible(parsed(written(tmp_path, study)))
    assert "No statement of the argument fails on this data." in said
    assert "does not hold" not in said


def test_a_verdict_is_taken_from_the_study():
    given = claim("holes_prior", 1, 2, "hole_prior", None, 5.0)
    assert state_of(given) == "open"
    assert state_of(given | {"verdict": "holds"}) == "yes"
    assert state_of(given | {"verdict": "fails"}) == "no"
    assert state_of(given | {"right": {"value": None}}) == "missing"


def test_the_best_are_marked_as_the_study_says(tmp_path):
    study = a_study()
    for row in study["rows"]:
        row["best"] = {"2": [], "16": []}
    study["rows"][0]["best"] = {"2": ["ae", "vae"], "16": ["reconstruction-only"]}
    text = written(tmp_path, study).read_text(encoding="utf-8")
    # Twice in English, twice in Chinese: the table of the loss, and that of everything.
    assert text.count('class="best"') == 3 * 2 * 2


def test_a_number_tells_its_error_sample_and_seed(tmp_path):
    text = written(tmp_path, a_study()).read_text(encoding="utf-8")
    told = re.search(r'href="#about-hole_prior" data-facts="(Autoencoder[^"]*16 dim[^"]*)"', text)
    assert told[1].split(" · ") == [
        "Autoencoder",
        "16 dimensions",
        "0.26",
        "standard error 0.0042",
        "n = 10,000",
        "seed 0",
    ]


def test_a_missing_picture_or_language_is_told(tmp_path):
    study = a_study()
    (written(tmp_path, study).parent / "figures/4-walks-ae-2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"4-walks-ae-2\.png"):
        write_page(study, tmp_path / "figures", tmp_path, "en")
    with pytest.raises(ValueError, match="'fr'"):
        write_page(study, tmp_path / "figures", tmp_path, "fr")


def test_what_was_not_drawn_is_left_out(tmp_path):
    study = a_study()
    study["pictures"] = [p for p in study["pictures"] if not p["file"].startswith("5-manifold")]
    study["history"], study["inputs"] = {}, []
    page = parsed(written(tmp_path, study))
    assert "manifold" not in page.ids
    assert len(page.images) == len(study["pictures"]) + len(FIGURES["first"].panels)


def test_curves_stay_in_their_panel_whatever_the_values():
    lines = {
        "ae": [5.0, 5.0],
        "kl-only": [0.0, 0.0],
        "vae": [-3.0, None],
        "reconstruction-only": [1e6],
    }
    drawn = curves(
        lines, {name: {"en": name, "zh": name} for name in lines}, {"en": "a", "zh": "b"}
    )
    heights = [
        float(y) for y in re.findall(r'y[12]?="([-\d.]+)"|,([-\d.]+)', drawn) for y in y if y
    ]
    assert all(0 <= y <= HEIGHT for y in heights)
    names = sorted(
        float(y) for y in re.findall(r'class="name" lang="en" x="[\d.]+" y="([\d.]+)"', drawn)
    )
    assert all(b - a >= LINE - 0.11 for a, b in pairwise(names))


def test_the_commands_it_offers_exist():
    offered = {name for text in COMMANDS.values() for name in re.findall(r"vaelab (\S+)", text)}
    known = set(re.findall(r"^  (\w+) ", overview(), re.MULTILINE))
    assert offered - {"understand"} <= known


def test_no_line_can_begin_with_the_punctuation_after_a_formula(tmp_path):
    text = written(tmp_path, a_study(), "zh").read_text(encoding="utf-8")
    assert '<span class="keep"><math><mi>z</mi></math>，</span>' in text
    loose = re.findall(
        r"(?<!</span>)</math>[，。；：、）]", re.sub(r'<span class="keep">.*?</span>', "", text)
    )
    assert loose == []
    assert re.search(r"\.keep \{[^}]*nowrap", text)
