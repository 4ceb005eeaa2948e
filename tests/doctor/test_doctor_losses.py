"""`vaelab doctor FILE.py:function`: planted mistakes are found, healthy losses are left alone."""

import inspect
import json
import re
from functools import cache

import pytest
import torch
from diseased import losses

from vaelab.commands import main as cli
from vaelab.doctor import examine_loss, loss_subject
from vaelab.doctor.loss_arguments import kinds, role

FILE = losses.__file__


@cache
def examined(function, **kwargs):
    return examine_loss(f"{FILE}:{function.__name__}", **kwargs)


def codes(report):
    return [finding.code for finding in report.findings]


def named(value):
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("loss", losses.HEALTHY, ids=lambda f: f.__name__)
def test_a_healthy_loss_is_left_alone(loss):
    assert examined(loss).findings == []


@pytest.mark.parametrize(("loss", "code"), losses.ILL.items(), ids=named)
def test_a_planted_mistake_is_found(loss, code):
    found = codes(examined(loss))
    assert code in found
    # Nothing is said that is not so: a second finding is a second planted consequence.
    also = {
        losses.kl_by_share_of_the_data: {"mean-reconstruction"},
        losses.exp_forgotten: {"no-gradient"},
        losses.sampled: {"kl-form"},
        losses.sample_of_another_width: {"random"},
        losses.kl_of_batch_moments: {"no-gradient"},
    }
    assert set(found) - {code} <= also.get(loss, set())


INFO = {"random", "reconstruction-unknown"}
"""Findings that are worth knowing, and no mistake by themselves."""


@pytest.mark.parametrize(("loss", "code"), losses.ILL.items(), ids=named)
def test_a_mistake_makes_the_exit_status_1(loss, code):
    assert examined(loss).reaches("warning") or code in INFO


REPAIRED = """
import math
import torch
import torch.nn.functional as F
from diseased import losses

BETA = losses.BETA

def loss{signature}:
    x0, r0 = torch.full_like({x}, 0.3), torch.full_like({r}, 0.6)
    mu0, s0 = torch.zeros_like({mu}), torch.full_like({s}, {neutral})
    mu1 = torch.linspace(-1, 1, len({mu})).view(-1, *[1] * ({mu}.ndim - 1)).expand_as({mu})
    own = lambda x, r, mu, s: losses.{name}({arguments})
    {rest}
    {fix}
    return {total}
"""


def first_of_each_code():
    """A fix follows from its code: one loss of each is quick, the others are slow tests."""
    met = set(INFO)
    for loss, code in losses.ILL.items():
        if code not in INFO:
            marks = pytest.mark.slow if code in met else ()
            yield pytest.param(loss, code, id=f"{loss.__name__}-{code}", marks=marks)
            met.add(code)


@pytest.mark.parametrize(("loss", "code"), list(first_of_each_code()))
def test_the_fix_can_be_applied_and_the_finding_goes(loss, code, tmp_path):
    """The line that is offered takes the place of the term it is for; the rest stays."""
    report = examined(loss)
    finding = next(f for f in report.findings if f.code == code)
    called = dict(report.figures["arguments"])
    roles = {"x": called.get("x"), "r": called.get("reconstruction")}
    roles |= {"mu": called.get("mu"), "s": called.get("scale")}
    parameters = inspect.signature(loss).parameters
    arguments = ", ".join(next((r for r, n in roles.items() if n == p), p) for p in parameters)
    rest = {
        "kl": "rest = own({x}, {r}, mu1, s0) - own(x0, r0, mu1, s0)",
        "reconstruction": "rest = own(x0, r0, {mu}, {s}) - own(x0, r0, mu0, s0)",
        "loss": "loss = own({x}, {r}, {mu}, {s})",
    }[finding.fix.target]
    total = {"kl": "rest + kl", "reconstruction": "rest + reconstruction", "loss": "loss"}
    (tmp_path / "repaired.py").write_text(
        REPAIRED.format(
            signature=inspect.signature(loss),
            name=loss.__name__,
            neutral=0.0 if "log" in called.get("scale", "log") else 1.0,
            arguments=arguments,
            rest=rest.format(**roles),
            fix=finding.fix.change.replace("\n", "\n    "),
            total=total[finding.fix.target],
            **roles,
        )
    )
    again = examine_loss(f"{tmp_path / 'repaired.py'}:loss")
    assert code not in codes(again)
    others = {f.code for f in report.findings} - {code}
    assert {f.code for f in again.findings if f.severity != "info"} <= others


@pytest.mark.parametrize("name", ["criterion", "learned_noise_once"])
def test_a_module_is_a_loss_and_its_learned_scale_is_found(name):
    found = codes(examine_loss(f"{FILE}:{name}"))
    assert found == ([] if name == "criterion" else ["noise-cost"])


def test_where_a_clamp_ends_and_what_a_mean_is_over_is_said():
    (finding,) = examined(losses.clamped_below).findings
    assert finding.evidence.value == pytest.approx(-4)
    (finding,) = examined(losses.clamped_log_std).findings
    assert "below log_std = -3 and above log_std = 1" in finding.what
    (finding,) = examined(losses.mean_over_pixels).findings
    assert "averaged over height and width" in finding.what
    (finding,) = examined(losses.channels_and_batch_alike).findings
    assert "averaged over channels" in finding.what
    about = "\n".join(examined(losses.logits_and_a_dictionary).about)
    assert "of images it would average the reconstruction over height and width" in about


@pytest.mark.parametrize(
    ("loss", "beta"),
    [
        (losses.bce_mean_over_batch, 1.0),
        (losses.summed, 1.0),
        (losses.one_sample, 1.0),
        (losses.learned_noise, 1.0),
        (losses.fixed_noise, 0.01),
        (losses.mean_over_channels, 3.0),
        (losses.clamped_below, 1.0),
        (losses.reversed_std, 1.0),
        (losses.gaussian, 1.0),
        (losses.squared_error_and_std, 0.5),
        (losses.beta_four_for_images, 4.0),
        (losses.mean_reconstruction, 784 / 2),
        (losses.mean_reconstruction_of_one_size, 784.0),
        (losses.mean_kl, 1 / 5),
        (losses.tiny_weight, 0.00025),
        (losses.half_forgotten, 2.0),
    ],
    ids=named,
)
def test_the_effective_beta_is_exact(loss, beta):
    assert examined(loss).figures["effective_beta"] == pytest.approx(beta, rel=1e-6)


@pytest.mark.parametrize("loss", [losses.one_forgotten, losses.std_as_logvar, losses.mean_kl])
def test_the_one_line_fix_is_the_closed_form(loss):
    """The line that is offered, run, agrees with torch.distributions."""
    (finding,) = examined(loss).findings
    line = finding.remedy
    mu = torch.randn(7, 3, dtype=torch.float64)
    std = torch.rand(7, 3, dtype=torch.float64) + 0.1
    names = {"mu": mu, "std": std, "logvar": 2 * std.log()}
    exec(line, names)
    q = torch.distributions.Normal(mu, std)
    p = torch.distributions.Normal(torch.zeros_like(mu), 1.0)
    exact = torch.distributions.kl_divergence(q, p).sum(1).mean()
    assert float(names["kl"]) == pytest.approx(float(exact))


def test_evidence_is_a_number_and_the_clamp_is_told_from_the_absent_kl():
    (clamped,) = examined(losses.capacity_of_nothing).findings
    assert clamped.evidence.value == 0
    assert "clamped" in clamped.what
    (absent,) = examined(losses.no_kl).findings
    assert "not there, or detached" in absent.what
    (tied,) = examined(losses.kl_summed_over_the_batch).findings
    assert tied.evidence.value == 2.0
    assert tied.remedy == "divide the KL term by x.shape[0]"


def test_the_terms_of_an_odd_kl_are_told():
    (finding,) = examined(losses.mixed_up_exponents).findings
    terms = "+ 0.5 mu² − 0.5 logvar + 0.5 exp(2 logvar)"
    assert terms in finding.what


def test_a_shape_can_be_given_and_images_are_tried():
    assert examined(losses.beta_four_for_images).figures["shape"] == [3, 20, 28]
    found = examined(losses.mean_reconstruction, shape=(3, 8, 8)).figures["effective_beta"]
    assert found == pytest.approx(192 / 2)


def test_arguments_can_be_said():
    with pytest.raises(ValueError, match="--arguments"):
        examined(losses.any_arguments)
    found = examined(losses.any_arguments, arguments="reconstruction,x,mu,logvar,M_N=0.5")
    assert found.figures["effective_beta"] == pytest.approx(0.5)
    assert examined(losses.wordless).findings == []
    assert "b is its reconstruction" in examined(losses.wordless).about[0]
    assert examined(losses.wordless, arguments="x,reconstruction,mu,logvar").findings == []
    swapped = examined(losses.wordless, arguments="reconstruction,x,mu,logvar")
    assert "swapped" in codes(swapped)
    asked = "x,reconstruction,mu,std"
    assert "scale-mismatch" in codes(examined(losses.wordless, arguments=asked))
    for wrong, said in (("x,thing,mu,logvar", "'thing'"), ("x,x,mu,logvar", "which is it")):
        with pytest.raises(ValueError, match=said):
            examined(losses.wordless, arguments=wrong)


def test_a_part_of_a_loss_is_examined_as_far_as_it_goes():
    report = examined(losses.kl_alone)
    assert report.findings == []
    assert report.figures["kl"]["form"] == "logvar"
    assert codes(examine_loss(f"{FILE}:kl_of")) == []


def test_a_class_and_noise_on_stdout(capsys):
    assert examine_loss(f"{FILE}:Model.loss").findings == []
    said = capsys.readouterr()
    assert said.out == ""
    assert "noise on stdout" in said.err


def test_what_cannot_be_examined_says_why(tmp_path):
    with pytest.raises(ValueError, match="RuntimeError: no such thing"):
        examined(losses.broken)
    with pytest.raises(ValueError, match="returned str"):
        examined(losses.a_string)
    with pytest.raises(ValueError, match="Did you mean swapped"):
        examine_loss(f"{FILE}:swaped")
    with pytest.raises(ValueError, match="no function"):
        examine_loss(f"{FILE}:constant")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        examine_loss(f"{tmp_path / 'none.py'}:f")
    (tmp_path / "bad.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(ValueError, match=re.escape("cannot be loaded: ModuleNotFoundError")):
        examine_loss(f"{tmp_path / 'bad.py'}:f")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ValueError, match="SystemExit"):
        examine_loss(f"{tmp_path / 'leaves.py'}:f")


def test_a_neighbouring_module_can_be_imported_and_leaves_no_trace(tmp_path):
    import sys

    (tmp_path / "neighbour_of_loss.py").write_text("WEIGHT = 3.0\n")
    (tmp_path / "mine.py").write_text(
        "from neighbour_of_loss import WEIGHT\n"
        "def f(x, recon, mu, logvar):\n"
        "    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()\n"
        "    return ((x - recon) ** 2 / 2).sum(1).mean() + WEIGHT * kl\n"
    )
    before = list(sys.path)
    found = examine_loss(f"{tmp_path / 'mine.py'}:f").figures["effective_beta"]
    assert found == pytest.approx(3.0)
    assert sys.path == before
    assert "examined_loss" not in sys.modules


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *[(n, "reconstruction") for n in ("recon_x", "x_recon", "x_hat", "recons", "output")],
        *[(n, "reconstruction") for n in ("logits", "decoded", "y_pred", "x_logits", "x_prime")],
        *[(n, "x") for n in ("x", "inputs", "target", "data", "images", "y_true", "batch")],
        *[(n, "mu") for n in ("mu", "mean", "z_mean", "mu_z", "z_mu", "q_mu", "latent_mean")],
        *[(n, "scale") for n in ("logvar", "log_var", "z_log_var", "std", "sigma", "log_sigma")],
        *[(n, None) for n in ("beta", "kld_weight", "n", "epoch", "self")],
    ],
)
def test_names_of_arguments_are_known(name, what):
    assert role(name) == what


def test_names_of_scales_say_what_they_are():
    assert kinds("z_log_var")[0] == ("logvar",)
    assert kinds("logstd")[0] == ("logstd",)
    assert kinds("sigma2")[0] == ("var",)
    assert kinds("variance")[0] == ("var",)
    assert kinds("z_std")[0] == ("std",)
    assert kinds("scale")[0] == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return x.sum() * float('nan')", "it returns nan for a reconstruction between 0.02"),
        ("return torch.log(-x).sum()", "it returns nan"),
        ("return (recon - x).pow(2).sum().to(torch.complex64)", "it returned complex numbers"),
        ("return x[:0]", "it returned no number"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("while True: pass", "TimeoutError: it did not return within 0.1 s"),
        ("y = torch.sqrt(recon); z = y.sum(); y.zero_(); return (z + y * y).sum()",
         "its gradient cannot be taken: one of the variables"),
    ],
    ids=lambda v: v[:20],
)  # fmt: skip
def test_a_loss_that_cannot_be_measured_is_refused_in_words(body, message, tmp_path, monkeypatch):
    monkeypatch.setattr(loss_subject, "PATIENCE", 0.1 if "while" in body else 60.0)
    (tmp_path / "odd.py").write_text(f"import torch\ndef loss(recon, x, mu, logvar):\n    {body}\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        examine_loss(f"{tmp_path / 'odd.py'}:loss")


def test_a_loss_that_overwrites_what_it_is_given_is_measured_all_the_same(tmp_path):
    (tmp_path / "rude.py").write_text(
        "import torch\n"
        "def loss(recon, x, mu, logvar):\n"
        "    kl = 0.5 * (mu ** 2 + logvar.exp() - 1 - logvar).sum(1).mean()\n"
        "    return recon.sub_(x).pow_(2).sum(1).mean() + kl\n"
    )
    report = examine_loss(f"{tmp_path / 'rude.py'}:loss")
    assert report.figures["effective_beta"] == pytest.approx(0.5)


def test_what_a_loss_prints_is_no_part_of_the_report(tmp_path, capsys):
    """Nor what its gradient prints."""
    (tmp_path / "loud.py").write_text(
        "print('loading')\n"
        "def loss(recon, x, mu, logvar):\n"
        "    print('called')\n"
        "    if recon.requires_grad: recon.register_hook(lambda g: print('slope'))\n"
        "    kl = 0.5 * (mu ** 2 + logvar.exp() - 1 - logvar).sum(1).mean()\n"
        "    return 0.5 * (recon - x).pow(2).flatten(1).sum(1).mean() + kl\n"
    )
    assert cli.main(["doctor", f"{tmp_path / 'loud.py'}:loss", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["findings"] == []
    assert all(word in said.err for word in ("loading", "called", "slope"))
