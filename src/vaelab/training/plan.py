"""Settings of a training, the same for every recipe."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import Literal

import torch

from vaelab.data import Augment
from vaelab.utils.hints import Hinting
from vaelab.utils.progress import counted
from vaelab.utils.validation import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    Share,
    check_fields,
)

OnNonfinite = Literal["stop", "skip"]
Precision = Literal["auto", "fp32", "bf16"]
Compile = Literal["auto", "on", "off"]

ENOUGH_STEPS = 4_000

FEW = 4
"""One in so many of the steps taken by default are few: most models have learned little by then."""

WORTH_COMPILING = 7_500_000_000
"""Weights updated, in all steps, from which compiling repays its time, if nothing is kept of it
from another training; benchmarks/speed measures both."""

OVERHEAD = 500_000
"""Weights that could be updated in the time that Python takes for a step."""

WORTH_CASTING = 200_000
"""Parameters from which bf16 products repay the casts around them on a processor that has them."""


@dataclass(frozen=True)
class Plan(Hinting):
    """Settings of a training, with defaults from the study in docs/defaults.md.

    The learning rate averages 0.725 of its peak (a cosine after a warm-up of 10%: 0.5), so that a
    short training moves further; a fall to 0 lets the noise of the last steps average out.

    Attributes:
        epochs: passes over the training data; by default enough for 4,000 steps, at least 10.
        batch_size: examples in a step.
        lr: peak learning rate of AdamW.
        weight_decay: decoupled weight decay.
        warmup_share: share of all steps, the first, over which lr rises linearly to its peak.
        cooldown_share: share of all steps, the last, over which lr falls linearly to 0.
        clip: largest norm of the gradient, in nats; it only catches outliers.
        on_nonfinite: stop ends the training at a step whose loss or gradient is not finite; skip
            undoes that step whole, counts it and goes on, unless an epoch has no other. An
            accelerator then waits for every step.
        ema: decay of averaged weights, which are then evaluated and kept; none if not set.
        patience: epochs without a better validation loss before stopping; none if not set.
        augment: random changes of training images, each example at every epoch anew: flip (left and
            right exchanged), crop (a shift by up to an eighth of each side) or flip-crop. For
            photos whose mirror images and shifts are photos too; never in evaluation.
        precision: number format of the networks; auto takes bf16 if the processor has its
            instructions and the networks are large enough to gain. Likelihoods and rates are always
            float32.
        compile: compile the whole training step and cache it; auto compiles if the training is long
            enough to pay for it.
        device: auto, cpu, cuda, cuda:1, mps, …
        seed: seed of the order of the data and of all noise.
    """

    epochs: Count | None = None
    batch_size: Count = 128
    lr: Positive = 2e-3
    weight_decay: NonNegative = 0.01
    warmup_share: Share = 0.05
    cooldown_share: Share = 0.5
    clip: Positive = 100.0
    on_nonfinite: OnNonfinite = "stop"
    ema: Fraction | None = None
    patience: Count | None = None
    augment: Augment = "none"
    precision: Precision = "auto"
    compile: Compile = "auto"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def num_epochs(self, rows: int) -> int:
        """The epochs for this many training rows."""
        return self.epochs or max(10, math.ceil(ENOUGH_STEPS / math.ceil(rows / self.batch_size)))


@dataclass(frozen=True)
class Length:
    """Length of a training, beside the default on the same data.

    Attributes:
        steps: number of its steps.
        usual: number of steps by default.
        epochs: number of epochs by default.
    """

    steps: int
    usual: int
    epochs: int

    @classmethod
    def of(cls, epochs: int, rows: int, batch_size: int) -> Length:
        """The length of so many epochs over so many rows."""
        steps = math.ceil(rows / batch_size)
        usual = Plan(batch_size=batch_size).num_epochs(rows)
        return cls(epochs * steps, usual * steps, usual)

    @property
    def few(self) -> bool:
        """True for less than a quarter of the steps taken by default."""
        return FEW * self.steps < self.usual

    def __str__(self) -> str:
        """`60 steps; the default is 4,008 (about 334 epochs)`."""
        return (
            f"{counted(self.steps, 'step')}; the default is {self.usual:,} "
            f"(about {counted(self.epochs, 'epoch')})"
        )


def find_device(name: str) -> torch.device:
    """The device of a name; auto is the first accelerator there is, else the CPU.

    Raises:
        ValueError: for a device that is not there, with those that are.
    """
    found = ["cpu"]
    if torch.cuda.is_available():
        found = [*(f"cuda:{i}" for i in range(torch.cuda.device_count())), "cpu"]
    elif torch.backends.mps.is_available():
        found = ["mps", "cpu"]
    if name == "auto":
        return torch.device(found[0])
    if not any(name == device or device.startswith(f"{name}:") for device in found):
        why = ""
        if name.startswith("cuda") and len(found) == 1:
            built = torch.version.cuda is not None
            why = ". Torch finds no GPU it can use" if built else ". This torch is without CUDA"
        raise ValueError(
            f"there is no device {name!r} here; there is {', '.join(found)}, or auto{why}"
        )
    return torch.device(name)


def uses_bf16(precision: Precision, device: torch.device, parameters: int) -> bool:
    """True if the networks run in bf16 on this device."""
    if precision != "auto":
        return precision == "bf16"
    if parameters < WORTH_CASTING:
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    read = getattr(torch.cpu, "get_capabilities", None)  # newer than torch 2.8
    capabilities = read() if read is not None else {}
    return device.type == "cpu" and bool(capabilities.get("amx_bf16"))


def can_compile() -> bool:
    """True if the C++ compiler that torch's compiler needs is installed."""
    return any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl"))


def should_compile(
    choice: Compile, steps: int, parameters: int, foreign: str | None = None
) -> bool:
    """Decide if a training compiles its steps.

    Decided by counting, not by timing or by programs kept from another training, so that one seed
    always takes the same way.

    Args:
        choice: setting of the plan.
        steps: number of steps of the training.
        parameters: number of parameters of the model.
        foreign: a part of model or objective that is not vaelab's own, if there is one; `auto` then
            compiles nothing, as its Python may hide state that no guard can see.

    Raises:
        ValueError: if compiling was asked for and there is no C++ compiler.
    """
    able = can_compile()
    if choice == "on" and not able:
        raise ValueError("compile is on, but no C++ compiler was found; install one or use auto")
    worth = steps * (parameters + OVERHEAD) >= WORTH_COMPILING and foreign is None
    return choice == "on" or (choice == "auto" and able and worth)
