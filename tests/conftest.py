"""What every test shares: one thread, no deadline, and the small real data set."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from vaelab.data import Data, load

# Tensors here are small: threads would cost more than they give, and two machines would differ.
torch.set_num_threads(1)

# Examples are the same at every run, and a busy machine is no failure.
settings.register_profile("vaelab", deadline=None, derandomize=True)
settings.load_profile("vaelab")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from the same random state, whatever ran before it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # of the CPU alone: quicker, thousands of times
        yield


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Messages below warnings are off, as before the command line asks for them."""
    logging.getLogger("vaelab").setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def _programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is compiled here is not kept beyond, and nothing kept before is used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAELAB_PROGRAMS", str(tmp_path_factory.mktemp("programs")))
        yield


@pytest.fixture(scope="session")
def digits() -> Data:
    """scikit-learn's digits: 1 x 8 x 8, 17 levels."""
    return load("digits8x8")
