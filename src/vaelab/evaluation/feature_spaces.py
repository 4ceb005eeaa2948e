"""The feature space that samples are compared in, by its name on the command line.

classifier        the last hidden layer of a classifier of the training data, kept with the run
pixels            principal components of the training data, the columns of a table as `compared`
inception         the 2,048 features of FID, if torch-fidelity is installed
FILE.py:function  any network of the user's: x (N, …) at the model's scale → (N, F)
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vaelab.data import Batches
from vaelab.evaluation.inception import Inception
from vaelab.metrics.classifier import Classifier
from vaelab.metrics.features import FeatureSpace, NetworkFeatures, PixelFeatures
from vaelab.recipes.design import compared
from vaelab.runs.run import Run
from vaelab.utils import atomic_files

CLASSIFIER = "classifier.safetensors"
STEPS, BATCH = 1000, 1000


def space_of(
    name: str, run: Run, train: Batches, labels: Tensor | None, seed: int
) -> tuple[FeatureSpace, Classifier | None]:
    """The space of a name, and the classifier if there are labels to learn.

    Args:
        name: auto, classifier, pixels, inception or FILE.py:function; auto is the classifier
            if there are labels, else pixels.
        run: run whose folder keeps the classifier.
        train: training rows.
        labels: labels of these rows.
        seed: seed of the classifier.

    Raises:
        ValueError: if the name is none of these, or the data have no such space.
    """
    makers: dict[str, Callable[[], FeatureSpace]] = {
        "pixels": lambda: PixelFeatures.fit(_grey(train), seed=seed, view=seen(run, train.device)),
        "inception": lambda: Inception(run.spec.shape, train.device),
    }
    classifier = None if labels is None else kept_classifier(run, train, labels, seed)
    if name in makers:
        return makers[name](), classifier
    if ":" in name:
        return of_file(name, train.device), classifier
    if name not in ("auto", "classifier"):
        raise ValueError(
            f"there are no features {name!r}; choose auto, classifier, pixels, inception or "
            "FILE.py:function"
        )
    if classifier is not None:
        return classifier, classifier
    if name == "classifier":
        raise ValueError(
            f"{run.spec.source} has no labels of two classes to learn; use --features pixels"
        )
    return makers["pixels"](), None


def kept_classifier(run: Run, train: Batches, labels: Tensor, seed: int) -> Classifier | None:
    """The run's classifier, trained if there is none of this data and seed yet.

    None if there is one class only.
    """
    if len(labels.unique()) < 2:
        return None
    spec = run.spec
    about = {"data": spec.source, "sizes": str(spec.sizes), "split": str(spec.seed)}
    about |= {"seed": str(seed), "binarize": spec.binarize, "rows": str(len(train))}
    about |= {"columns": ", ".join(f"{c.kind} {c.categories}" for c in spec.columns)}
    view = seen(run, train.device)
    path = None if run.path is None else run.path / CLASSIFIER
    if path is not None and path.is_file():
        found = _read(path, about, train.device, view)
        if found is not None:
            return found
    x = _grey(train)
    epochs = max(5, round(STEPS * 256 / len(x)))
    found = Classifier.fit(x, labels.to(x.device), seed, epochs, view=view)
    if path is not None:
        weights = {k: t.cpu().contiguous() for k, t in found.tensors().items()}
        atomic_files.write(path, save(weights, about))
    return found


def seen(run: Run, device: torch.device) -> torch.nn.Module:
    """Map from a run's data to the numbers that feature spaces compare, on a device."""
    return compared(run.spec).to(device)


def _read(
    path: Path, about: dict[str, str], device: torch.device, view: torch.nn.Module
) -> Classifier | None:
    """The classifier of a file; None if it is of other data."""
    try:
        with safe_open(path, framework="pt") as file:
            if file.metadata() != about:
                return None
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
        return Classifier.restore(tensors, view)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it, and it is made anew") from None


def _grey(train: Batches) -> Tensor:
    parts = [train.spec.prepare(train.x[i : i + BATCH]) for i in range(0, len(train), BATCH)]
    return torch.cat(parts).to(train.device)


def of_file(name: str, device: torch.device) -> NetworkFeatures:
    """The features of a function in the user's own file, which is run.

    A module is moved to the device; any other function is given what it looks at on the CPU.

    Raises:
        ValueError: if the file, or the function in it, is missing or cannot be run.
    """
    path, _, function = name.rpartition(":")
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist; name your features as FILE.py:function")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file; name your features as FILE.py:function")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    found: Any = getattr(module, function, None)
    if not callable(found):
        raise ValueError(f"{path} has no function {function!r}")
    place = torch.device("cpu")
    if isinstance(found, torch.nn.Module):
        found, place = found.to(device), device
    return NetworkFeatures(_reported(found, name, place), f"{Path(path).name}:{function}")


def _reported(
    function: Callable[[Tensor], Any], name: str, place: torch.device
) -> Callable[[Tensor], Any]:
    """The function, its failures told as what they are: a user's, with the shape it was given."""

    def call(x: Tensor) -> Any:
        try:
            return function(x.to(place))
        except Exception as error:
            raise ValueError(
                f"{name} failed on x {tuple(x.shape)} of {x.dtype}: {type(error).__name__}: {error}"
            ) from error

    return call
