"""One row's training, pass by pass, which can be broken off and taken up again.

A pass is a function of the state before it, the seed and its number alone, so a training that was
broken off ends as one that was not, but for the rounding of compiled steps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import vaelab
from published_jobs.rows import Row
from vaelab.data import Batches, Data, DataSpec
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.likelihood import elbo, weigh
from vaelab.training.fit import evaluate_epoch
from vaelab.training.plan import Plan, can_compile, find_device, should_compile
from vaelab.training.step import Step
from vaelab.utils.atomic_files import read_json, together, write_json

SAVED, UNCLIPPED = 60.0, 1e12
"""Seconds between savings; a norm that no gradient reaches, as none is clipped in the papers."""

WORTH_COMPILING = 1000
"""Draws an image from which making one program of the walk repays its time."""


@dataclass(frozen=True)
class Setting:
    """A row and how much of its training is asked for.

    Attributes:
        row: what was published.
        passes: of the whole course; fewer than published go through the same rates.
        batch: examples in a step.
        seed: of first weights, order and noise.
    """

    row: Row
    passes: int
    batch: int
    seed: int

    def data(self) -> tuple[Data, DataSpec]:
        """The rows, and how the model sees them."""
        data = vaelab.load_data(self.row.data, valid=self.row.valid)
        return data, replace(data.spec, binarize=self.row.binarize)


class Course:
    """A training on its way, in a folder.

    Args:
        setting: what is trained; the folder is of this setting alone.
        folder: what was kept there before is taken up.
        device: as in `Plan`.

    Attributes:
        done: passes so far.
        history: a record of every pass.
    """

    def __init__(self, setting: Setting, folder: Path, device: str = "auto") -> None:
        self.setting, self.folder = setting, folder
        row, self.device = setting.row, find_device(device)
        self.raw, self.spec = setting.data()
        self.train = Batches(self.raw.train.x, self.spec, self.device)
        self.valid = Batches(self.raw.valid.x, self.spec, self.device)
        mean = torch.stack([x.sum(0) for x in self.spec.prepare(self.raw.train.x).split(4096)])
        torch.manual_seed(setting.seed)
        self.model = row.model(mean.sum(0) / len(self.train)).to(self.device).train()
        self.best: dict[str, Tensor] = {}
        self.done, self.seconds, self.history = 0, 0.0, list[dict[str, float]]()
        steps = setting.passes * (len(self.train) // setting.batch)
        self.shares = row.shares(setting.passes)
        self.plan = Plan(lr=row.lr, weight_decay=0.0, clip=UNCLIPPED, seed=setting.seed)
        full = (
            setting.batch
            if should_compile("auto", steps, sum(p.numel() for p in self.model.parameters()))
            else 0
        )
        objective = row.objective().to(self.device)
        self.step = Step(self.model, objective, self.plan, full=full, prepare=self.train.prepare)
        self.step.learner.optimizer.eps = row.eps
        if (folder / "state.json").exists():
            self._load()

    @property
    def kept(self) -> dict[str, Tensor]:
        """The weights that are judged."""
        return self.best if self.setting.row.keeps_best and self.best else self.model.state_dict()

    @property
    def fell(self) -> float | None:
        """Nats by which the training loss fell in the last tenth of the passes; None after one."""
        last = max(1, self.done // 10)
        losses = [record["loss"] for record in self.history]
        return losses[-1 - last] - losses[-1] if self.done > last else None

    def go(self, minutes: float) -> None:
        """Trains until all passes are done, or the minutes are over at the end of a pass.

        Args:
            minutes: 0 for no training; else there is at least one more pass.
        """
        start = saved = time.perf_counter()
        before = self.seconds  # of earlier calls
        while minutes > 0 and self.done < self.setting.passes:
            self._one_pass()
            now = time.perf_counter()
            self.seconds = before + now - start
            over = now - start > 60 * minutes
            if over or self.done == self.setting.passes or now - saved > SAVED:
                self._save()
                saved = now
            if over:
                return

    def _one_pass(self) -> None:
        setting = self.setting
        random = torch.Generator().manual_seed(setting.seed)
        seeds = torch.randint(2**62, (self.done + 1, 2), generator=random)[-1].tolist()
        torch.manual_seed(seeds[0])
        order = torch.Generator(self.device).manual_seed(seeds[1])
        self.step.scale(self.shares[self.done])
        self.step.sums.clear()
        for batch in self.train.shuffled(setting.batch, order):
            self.step(batch)
        self.done += 1
        record = {"pass": self.done, "loss": self.step.sums.means(len(self.train))["loss"]}
        record["lr"] = self.step.learner.optimizer.lr
        if setting.row.keeps_best:
            seen = evaluate_epoch(
                self.model, self.step.objective, self.valid, self.plan, bf16=False
            )
            record["valid_loss"] = seen["valid_loss"]
            if seen["valid_loss"] < min(
                (r["valid_loss"] for r in self.history), default=float("inf")
            ):
                self.best = {k: t.detach().clone() for k, t in self.model.state_dict().items()}
        self.history.append(record)

    def _save(self) -> None:
        tensors = {f"model.{k}": t for k, t in self.model.state_dict().items()}
        tensors |= {f"best.{k}": t for k, t in self.best.items()}
        tensors |= {f"adam.{k}": t for k, t in self.step.learner.optimizer.tensors().items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {"done": self.done, "seconds": self.seconds, "history": self.history}
        with together(self.folder) as staged:
            save_file(
                {k: t.detach().to("cpu").contiguous() for k, t in tensors.items()},
                staged / "state.safetensors",
            )
            write_json(staged / "state.json", state)

    def _load(self) -> None:
        state, optimizer = read_json(self.folder / "state.json"), self.step.learner.optimizer
        self.done, self.seconds = state["done"], state["seconds"]
        self.history = state["history"]
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "adam": {}}
        for name, t in load_file(self.folder / "state.safetensors", str(self.device)).items():
            part, _, rest = name.partition(".")
            parts[part][rest] = t
        self.model.load_state_dict(parts["model"])
        self.best = parts["best"]
        for name, t in optimizer.tensors().items():
            t.copy_(parts["adam"][name])
        optimizer.taken = int(parts["adam"]["0.step"])


def measured(course: Course, samples: int) -> dict[str, Any]:
    """NLL and −ELBO of the test set under the weights kept, with standard errors over images.

    Args:
        course: trained so far; its model ends with the weights kept.
        samples: K of the NLL.
    """
    course.model.load_state_dict(course.kept)
    course.model.eval()
    test = Batches(course.raw.test.x, course.spec, course.device)
    torch.manual_seed(course.setting.seed)
    bound = elbo(course.model, test.fixed(1000, 0), samples=10)["neg_elbo"]
    compile = samples >= WORTH_COMPILING and can_compile()
    found = weigh(course.model, test.fixed(1000, 0), samples, compile=compile)
    nll = Estimate.mean(found.nll)
    return {
        "nll": nll.value,
        "nll_se": nll.se,
        "neg_elbo": bound.value,
        "neg_elbo_se": bound.se,
        "images": nll.n,
        "samples": samples,
        "slack": found.slack.value,
        "loose": found.loose.value,
        "done": course.done,
        "seconds": course.seconds,
        "lr": course.history[-1]["lr"],
        "fell": course.fell,
    }
