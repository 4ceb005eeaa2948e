"""The doctor in Chinese: every sentence and term is translated, numbers and code are kept."""

import ast
import re
import string
from pathlib import Path

import pytest

import vaelab.doctor
from vaelab.doctor import data_checks, loss_checks, prior_checks, run_checks
from vaelab.doctor.examine_data import FINITE, WHOLE
from vaelab.doctor.findings import Evidence, Finding, Report
from vaelab.doctor.loss_arguments import KINDS, WORDS
from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES
from vaelab.doctor.prior_measurements import Lost
from vaelab.metrics import Estimate
from vaelab.reports.findings_text import in_language
from vaelab.reports.page import tables
from vaelab.utils.messages import Message, joined

CHINESE, ENGLISH = tables("doctor/zh.toml"), tables("doctor/en.toml")
FOLDER = Path(vaelab.doctor.__file__).parent
DOCS = FOLDER.parents[2] / "docs" / "findings.md"
SECTIONS = ("what", "remedy", "about", "figure", "unit", "part")


def blanks(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def calls(name: str) -> list[tuple[list[ast.expr], list[ast.keyword]]]:
    """Arguments of all calls of a name in the doctor's code, `partial` ones among them."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called, *rest = [node.func, *node.args]
                if getattr(called, "id", "") == "partial":
                    called, *rest = rest
                if name in (getattr(called, "id", ""), getattr(called, "attr", "")):
                    found.append((rest, node.keywords))
    return found


def test_every_message_has_a_translation_with_its_blanks():
    found = {}
    for arguments, keywords in calls("Message"):
        if arguments[0].value:
            names = {k.arg for k in keywords if k.arg}
            found[arguments[0].value] = None if None in {k.arg for k in keywords} else names
            if isinstance(arguments[1], ast.Constant):
                found[arguments[0].value] = blanks(arguments[1].value)
    translated = {f"{s}.{key}": text for s in SECTIONS for key, text in CHINESE[s].items()}
    assert set(found) == set(translated)
    for key, expected in found.items():
        assert blanks(translated[key]) == expected, key
    assert set(CHINESE) == {*SECTIONS, "console", "marks", "terms"}


def test_the_console_says_the_same_in_both_languages():
    assert CHINESE["console"].keys() == ENGLISH["console"].keys()
    for name, text in ENGLISH["console"].items():
        assert blanks(text) == blanks(CHINESE["console"][name])


def test_every_code_of_the_docs_has_a_sentence_of_its_own():
    codes = re.findall(r"^### (.+)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    elsewhere = {"misfit", "constant", "odd-beta"}  # by direction, or kind
    for code in codes:
        keys = [key for key in CHINESE["what"] if key == code or key.startswith(f"{code}-")]
        assert keys, code
        assert code in keys or code in elsewhere


def test_every_term_has_a_translation():
    titles = [
        text for evidence in ("Evidence", "of") for a, k in calls(evidence) for text in _texts(a, k)
    ]
    terms = {
        *titles,
        *(form.title for form in RECONSTRUCTIONS.values()),
        *(form.expects for form in RECONSTRUCTIONS.values()),
        *(scale.title for scale in SCALES.values()),
        *(said for _, said in KINDS.values() if said),
        *WORDS.values(),
        *(name for module in (data_checks, loss_checks, run_checks) for name in module.CHECKS),
        *(FINITE, WHOLE),
    }
    estimate = Estimate(1.0, 0.0, 2)
    losses = list(prior_checks._losses(Lost(estimate, estimate, estimate)))
    terms |= {loss.figure for loss in losses} | {loss.unit for loss in losses if loss.unit}
    assert terms - set(CHINESE["terms"]) == set()


def _texts(arguments: list[ast.expr], keywords: list[ast.keyword]) -> list[str]:
    values = [*arguments[:1], *arguments[3:4], *(k.value for k in keywords if k.arg == "unit")]
    return [
        node.value
        for value in values
        if not isinstance(value, ast.Call)
        for node in ast.walk(value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != "s"
    ]


@pytest.fixture
def report() -> Report:
    finding = Finding(
        "over-fitting",
        "warning",
        Message(
            "what.over-fitting", "test {test:.1f}, training {train:.1f}", test=30.25, train=21.0
        ),
        Evidence("gap", 9.25, 2.0, "nats"),
        "vaelab train vae --data d.csv",
    )
    about = [joined("; ", [Message("about.beta", "effective β {beta}", beta=1.5), "kept"])]
    return Report("runs/a", "run", about, ["collapse"], [finding])


def test_sentences_change_and_numbers_code_and_names_do_not(report):
    chinese = in_language(report, "zh")
    (finding,) = chinese.findings
    assert finding.what == "测试样本的代价为 30.2 nat，训练样本为 21.0 nat"
    assert finding.remedy == "vaelab train vae --data d.csv"
    assert str(finding.evidence) == "差距 9.25 nat (limit 2)"
    assert (finding.code, finding.severity, chinese.subject) == (
        "over-fitting",
        "warning",
        "runs/a",
    )
    assert (chinese.about, chinese.checked) == (["有效 β 1.5；kept"], ["坍缩"])
    assert in_language(report, "en") is report


def test_the_command_speaks_chinese_only_if_asked(tmp_path, capsys):
    from vaelab.commands.main import main

    path = tmp_path / "loss.py"
    path.write_text(
        "import torch.nn.functional as F\n"
        "def loss(recon_x, x, mu, logvar):\n"
        "    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()\n"
        "    return F.mse_loss(recon_x, x) + kl\n"
    )
    assert main(["doctor", f"{path}:loss", "--lang", "zh"]) == 1
    chinese = capsys.readouterr().out
    assert "✗ 错误 mean-reconstruction  重构项对数据维度取了平均" in chinese
    assert "0.5 * F.mse_loss(recon_x, x, reduction='sum') / x.shape[0]" in chinese
    assert "检查项：" in chinese
    main(["doctor", f"{path}:loss"])
    assert "the reconstruction is averaged over dimensions" in capsys.readouterr().out
