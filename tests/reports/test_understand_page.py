import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from understand_study import UNITS, a_study, written

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
    assert "Of 6 tests that could be made here, 3 hold, 2 do not and 1 are undecided." in english
    assert "共 6 次：3 次成立，2 次不成立，1 次无法判定" in chinese
    # In its section, and again in the summary.
    assert english.count("does not hold on this data: ") == 4
    assert chinese.count("在这份数据上不成立：") == 4
    assert english.count("undecided, the difference") == 2
    assert "the mark is 0.10\xa0nats" in english


def test_a_claim_about_several_models_shows_every_comparison_with_its_state(tmp_path):
    page = parsed(written(tmp_path, a_study()))
    english, chinese = ("".join(page.texts[tag]) for tag in ("en", "zh-Hans"))
    told = english[english.index("16 dimensions: does not hold on this data: MMD") :][:300]
    order = ["(AE)\xa0✓; MMD", "(Rec. only)\xa0✗; Spread", "(KL only)\xa0✓"]
    places = [told.index(each) for each in order]
    assert places == sorted(places)
    assert re.search(
        r"不成立：MMD .*（AE）✓；MMD .*（只留重构）✗；变体离散度 .*（只留 KL）✓", chinese
    )


def test_sentences_about_gaps_follow_the_figures(tmp_path):
    study = a_study()
    gap, mark = study["strips"]["gap"], study["models"]
    for latent in (2, 16):
        mark[f"ae-{latent}"]["figures"]["hole_ellipse"] = {"value": 0.028, "se": 0.017, "n": 99}
    study["strips"]["gap"] = gap | {"hole": False, "off": 0}
    english, chinese = _sections(written(tmp_path, study))
    assert "cannot be made out inside" in english
    assert "training codes: inside their support." in english
    assert "none of the 9 images" in english
    assert "there are gaps" not in english
    assert "看不出空隙比真实编码更多" in chinese
    assert "在支撑集之内" in chinese

    mark["ae-2"]["figures"]["hole_ellipse"]["value"] = 0.09  # two standard errors above 5%
    study["strips"]["gap"] = gap
    english, chinese = _sections(written(tmp_path, study))
    assert "In 2 dimensions that is above the mark" in english
    assert "in 16 it is not" in english
    assert "training codes: outside their support." in english
    assert "Of the 9 images along it, 4 are further" in english
    assert "2 维时比参照值高出至少两个标准误" in chinese
    assert "有 4 个比 95% 的留出样本离训练样本更远" in chinese

    mark["ae-16"]["figures"]["hole_ellipse"]["value"] = 0.3
    study["strips"]["gap"] = gap | {"off": None}  # not measured: the rows repeat
    english, _ = _sections(written(tmp_path, study))
    assert "Both are above the mark" in english
    assert "along it" not in english


def _sections(path):
    page = parsed(path)
    return ("".join(page.texts[tag]) for tag in ("en", "zh-Hans"))


def test_prose_around_the_figures_states_no_outcome():
    """Titles, the deck and descriptions of pictures are the same whatever was measured."""
    for language in LANGUAGES:
        for name, text in keys(texts(language)):
            if name.split(".")[-1].startswith(("alt", "label", "title", "deck")):
                for word in ("gaps an", "far beyond", "which fill", "空隙里", "散落", "填满"):
                    assert word not in text, (name, word)


def test_repeated_rows_are_named_and_what_compares_rows_is_left_out(tmp_path):
    study = a_study(image=False)
    study["measurement"]["repeats"] = True
    for model in study["models"].values():
        for name in ("off_support", "precision", "coverage"):
            model["figures"][name] = {"value": None, "why": "repeats"}
    english, chinese = _sections(written(tmp_path, study))
    assert "Rows of this data repeat exactly." in english
    assert "完全相同的样本" in chinese
    assert "resemble no training" not in english


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
    states = {"holds": "yes", "fails": "no", "undecided": "open", None: "missing"}
    assert {name: state_of({"verdict": name}) for name in states} == states


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
