"""`sample`, `reconstruct`, `vary`, `interpolate`, `traverse`, `encode`: commands that use a run.

Each parameter is a flag, each docstring its help. Output is a picture with a caption (.png), or
rows on the scale of the data (.npy, .npz): unrounded means, or with --draw draws from the
likelihood, in the data's own integer levels. Rows of a table are also written as .csv, with the
names of columns and categories, counts and categories whole.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from tyro.conf import Positional, arg

from vaelab.commands.arguments import Device
from vaelab.commands.csv_rows import as_rows
from vaelab.commands.output_files import as_array, as_picture, as_table, check_output_path, write
from vaelab.core import fork_rng
from vaelab.data import Admitted, DataSpec, Raw, read_inputs
from vaelab.data.command_inputs import reload
from vaelab.data.condition import read, sample_labels
from vaelab.data.tabular.header import Heading, abbreviate_names
from vaelab.plots import Picture, captioned, gallery
from vaelab.plots.renderers import find_renderer
from vaelab.plots.scaling import levels, run_title
from vaelab.runs.load import load
from vaelab.runs.run import Run
from vaelab.training import find_device
from vaelab.utils.progress import counted, say

RunFolder = Positional[Annotated[Path, arg(metavar="RUN", help="folder of a trained run.")]]
Input = Positional[
    Annotated[
        str,
        arg(
            metavar="INPUT",
            help="a picture, a folder or zip of pictures, a .npy or .npz file, a table, or rows of "
            "the run's own data such as test:0-15 or valid:3,7, or test: for all.",
        ),
    ]
]
Count = Annotated[int, arg(aliases=["-n"])]
Seed = Annotated[int, arg(help="of all draws; on one device the same seed gives the same output.")]
Draw = Annotated[
    bool, arg(help="draw from the likelihood instead of taking its mean, in the data's own levels.")
]
DrawSamples = Annotated[
    bool,
    arg(help="draw from the likelihood; the default for rows of a table, not for images."),
]
Mean = Annotated[
    bool,
    arg(help="take the likelihood's mean; the default for images, not for rows of a table."),
]
Class = Annotated[
    str | None,
    arg(
        name="class",
        aliases=["--condition-values"],
        help="what a conditional model is told: the name of a class, or names with commas between "
        "them, one for each example; of vectors, the numbers of one with commas between them, or a "
        ".npy file of one for each example. Of rows of the run's own data it is known.",
    ),
]
Overwrite = Annotated[bool, arg(help="replace the file if it is there.")]
DataDir = Annotated[
    Path | None,
    arg(help="where known data sets live; by default VAELAB_DATA, else ~/.cache/vaelab/data."),
]
Captioned = tuple[Picture, str]
"""A picture and its caption."""
KINDS = (".png", ".npy", ".npz", ".csv")
FAR = 6
"""Standard deviations from the mean of its training vectors at which a model knows nothing."""
POINTS = "this model's posteriors are points: every draw from one is the same"


def sample(
    run: RunFolder,
    n: Count = 64,
    out: Path = Path("samples.png"),
    prior: str | None = None,
    temperature: float = 1.0,
    draw: DrawSamples = False,
    mean: Mean = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    label: Class = None,
    device: Device = "auto",
) -> None:
    """Generate new examples: z from the prior, decoded.

    Args:
        n: how many.
        out: file to write: .png for a picture, .npy or .npz for the rows, .csv for rows of a table.
        prior: name of a prior that was fitted with `vaelab fit-prior`; the model's own by default.
        temperature: scales the prior's spread; below 1 gives more typical examples.
    """
    if draw and mean:
        raise ValueError("--draw and --mean are each other's opposite; pass one of them")
    model = load_told(run, label, device, out)
    check_output_path(out, overwrite, *KINDS)
    if model.spec.condition == "labels" and label is None:
        say(f"no --class was named: {_classes(model.spec)}")
        if not model.spec.is_image:  # a row is written with its class
            with fork_rng(seed):
                (condition,) = model.spec.tell(sample_labels(model.spec, max(n, 1)))
                model = replace(model, condition=condition)
    if prior is not None:
        model = model.with_prior(prior)
    elif not model.has_rate:
        say(
            "an autoencoder has no trained prior: these are decoded draws of N(0, I). Fit one "
            f"with `vaelab fit-prior mixture {shlex.quote(str(run))}`, then pass --prior mixture"
        )
    draw = draw or (model.spec.drawn and not mean)
    parts = model.stream_samples(n, temperature=temperature, draw=draw, seed=seed)
    how, data = find_renderer(model.spec), outline(model, out)

    def drawn(x: Tensor) -> Captioned:
        picture, legend = how.samples(x, data)
        origin = "the prior" if prior is None else f"the fitted prior {prior}"
        heat = "" if temperature == 1 else f" at temperature {temperature:g}"
        return picture, f"{counted(n, 'sample')}: decoded draws from {origin}{heat}{legend}"

    _write(out, model, parts, n, draw, drawn)
    print(f"{out}  {counted(n, 'new example')}")


def reconstruct(
    run: RunFolder,
    input: Input,
    out: Path = Path("reconstructions.png"),
    draw: Draw = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    data_dir: DataDir = None,
    label: Class = None,
    device: Device = "auto",
) -> None:
    """Encode examples and decode them again; the picture shows them under their originals.

    Args:
        out: file to write: .png for a picture, .npy or .npz for the rows, .csv for rows of a table.
    """
    model = load_told(run, label, device, out)
    check_output_path(out, overwrite, *KINDS)
    model, raw = _read(input, model, data_dir)
    made = model.reconstruct(Admitted(raw), draw=draw, seed=seed)
    how = find_renderer(model.spec)
    _write(out, model, [made], len(made), draw, lambda x: how.comparison(raw, x))
    print(f"{out}  {counted(len(raw), 'reconstruction')}")


def vary(
    run: RunFolder,
    input: Input,
    n: Count = 8,
    out: Path = Path("variations.png"),
    temperature: float = 1.0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    data_dir: DataDir = None,
    label: Class = None,
    device: Device = "auto",
) -> None:
    """Make variations of examples: decoded draws from the posterior of each.

    Args:
        n: variations of each.
        out: file to write: .png for a picture with the originals at the left, .npy or .npz for
            the rows, (N, n, …).
        temperature: scales the posterior's spread; 0 gives reconstructions, 2 goes further away.
    """
    model = load_told(run, label, device, out)
    check_output_path(out, overwrite, *KINDS)
    if n < 1:
        raise ValueError(f"n is {n}; ask for at least 1 variation")
    model, raw = _read(input, model, data_dir)
    if not model.has_rate:
        say(POINTS)
    made = model.vary(Admitted(raw), n, temperature=temperature, seed=seed)
    how, axes = find_renderer(model.spec), ("example", "variation")
    _write(out, model, [made], len(made), False, lambda x: how.variations(raw, x), *axes)
    print(f"{out}  {counted(n, 'variation')} each of {counted(len(raw), 'example')}")


def interpolate(
    run: RunFolder,
    a: Positional[Annotated[str, arg(metavar="A")]],
    b: Positional[Annotated[str, arg(metavar="B")]],
    steps: int = 10,
    spherical: bool = False,
    out: Path = Path("interpolation.png"),
    overwrite: Overwrite = False,
    data_dir: DataDir = None,
    label: Class = None,
    device: Device = "auto",
) -> None:
    """Interpolate in latent space from one example to another, both reconstructed ends included.

    Args:
        a: the start: a picture, a .npy file, or a row such as test:0; several rows make
            several walks.
        b: the end: as many as there are starts, or one for all.
        steps: on the way, both ends included.
        spherical: along a great circle instead of straight, which keeps to the lengths that codes
            have in many dimensions.
        out: file to write: .png for a picture, .npy or .npz for the rows, (walks, steps, …).
    """
    model = load_told(run, label, device, out)
    check_output_path(out, overwrite, *KINDS)
    (one, starts), (other, ends) = (_read(place, model, data_dir) for place in (a, b))
    count = max(len(starts), len(ends))
    if {len(starts), len(ends)} - {1, count}:
        raise ValueError(
            f"there are {len(starts)} starts and {len(ends)} ends; give as many of each, or one of "
            "either"
        )
    starts, ends = (x.expand(count, *model.spec.shape) for x in (starts, ends))
    made = torch.stack(
        [
            _between(model, one, other, i).interpolate(
                Admitted(x[None]), Admitted(y[None]), steps, spherical=spherical
            )
            for i, (x, y) in enumerate(zip(starts, ends, strict=True))
        ]
    )
    unconditional, how = replace(model, condition=None), find_renderer(model.spec)
    _write(out, unconditional, [made], count, False, how.interpolations, "walk", "step")
    print(f"{out}  {counted(count, 'interpolation')} of {counted(steps, 'step')}")


def traverse(
    run: RunFolder,
    out: Path = Path("traversal.png"),
    steps: int = 9,
    most: int = 32,
    input: str | None = None,
    overwrite: Overwrite = False,
    data_dir: DataDir = None,
    label: Class = None,
    device: Device = "auto",
) -> None:
    """Move one latent dimension at a time from −3 to 3 standard deviations, the others at rest.

    Args:
        out: file to write: .png for a picture with each dimension's name and rate at its left
            and idle dimensions faded, .npy or .npz for the rows, (dimensions, steps, …).
        steps: positions on each dimension.
        most: how many dimensions to show at most, those that carry most first.
        input: an example to move away from, such as test:0; by default the mean code.
    """
    for name, value in (("steps", steps), ("most", most)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    model = load_told(run, label, device, out)
    check_output_path(out, overwrite, *KINDS)
    start = None
    if input is not None:
        model, raw = _read(input, model, data_dir)
        if model.condition is not None:
            model = replace(model, condition=model.condition[:1])
        start = model.encode(Admitted(raw[:1]))[0]
    picture, caption = gallery.traverse(model, most, steps, start)
    rows = model.traverse(model.codes.order[:most], steps, start=start)
    unconditional, axes = replace(model, condition=None), ("dimension", "step")
    _write(out, unconditional, [rows], len(rows), False, lambda _: (picture, caption), *axes)
    print(f"{out}  {caption}")


def encode(
    run: RunFolder,
    input: Input,
    out: Path = Path("codes.npy"),
    temperature: float = 0.0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    data_dir: DataDir = None,
    label: Class = None,
    device: Device = "auto",
) -> None:
    """Write the codes of examples, one row each: posterior means unless asked to draw.

    Args:
        out: file to write: .npy, .npz or .csv.
        temperature: 0 for posterior means, 1 for draws from the posteriors.
    """
    model = load_told(run, label, device)
    check_output_path(out, overwrite, ".npy", ".npz", ".csv")
    model, raw = _find(input, model, data_dir)
    codes = model.stream_codes(Admitted(raw), temperature=temperature, seed=seed)
    header = [Heading(f"z{j}") for j in range(model.latent)]
    write(out, as_array(codes, len(raw)) | as_table(codes, header))
    print(f"{out}  {counted(len(raw), 'code')} of {counted(model.latent, 'number')}")


def load_told(folder: Path, named: str | None, device: str, out: Path | None = None) -> Run:
    """The run on a device, conditioned on the given values.

    Raises:
        ValueError: if the run's examples cannot be written in the format of `out`.
    """
    place = find_device(device)  # before a long read
    run = load(folder).to(place)
    if out is not None and out.suffix.lower() == ".csv" and run.spec.is_image:
        raise ValueError(f"{out}: images are no table; name a .png, .npy or .npz file")
    if named is None:
        return run
    run = run.conditioned_on(read(run.spec, named))
    assert run.condition is not None
    away = float(run.condition.abs().max())
    if run.spec.condition == "vectors" and away > FAR:
        say(
            f"what is given is {away:.0f} standard deviations from the mean of what training saw: "
            "nothing was learned about that"
        )
    return run


def outline(run: Run, out: Path) -> Tensor | None:
    """Training rows drawn beside samples of a table in a picture, if they are available."""
    if out.suffix.lower() != ".png" or run.spec.is_image:
        return None
    try:
        return reload(run.spec, beside=run.path)[0].x[: gallery.MOST_CODES]
    except (ValueError, OSError) as error:
        say(f"without the data beside the samples: {error}")
        return None


def _classes(spec: DataSpec) -> str:
    """Message on the class proportions of samples without a named class."""
    if not spec.shares:
        return (
            "all classes come equally often, as the run is of an earlier version, which did not "
            "keep how often each is in training"
        )
    parts = zip(spec.classes, spec.shares, strict=True)
    told = abbreviate_names([f"{name} {part:.0%}" for name, part in parts], 12)
    return f"classes come as often as in training: {told}"


def _read(source: str, run: Run, data_dir: Path | None) -> tuple[Run, Tensor]:
    run, raw = _find(source, run, data_dir)
    return run, raw[:]


def _find(source: str, run: Run, data_dir: Path | None) -> tuple[Run, Raw]:
    """The rows, and the run conditioned on them: the run's own rows bring their condition."""
    inputs = read_inputs(source, run.spec, data_dir=data_dir, beside=run.path)
    raw, known = inputs.raw, inputs.known
    for note in inputs.notes:
        say(note)
    return run.told(known), raw


def _between(model: Run, one: Run, other: Run, i: int) -> Run:
    """The model, conditioned on both ends of the i-th walk unless it has a condition already."""
    known = [run.condition for run in (one, other) if run.condition is not None]
    if model.condition is not None or len(known) < 2:
        return model
    return replace(model, condition=torch.stack([c[i % len(c)] for c in known]))


def _write(
    out: Path,
    run: Run,
    parts: Iterable[Tensor],
    n: int,
    draw: bool,
    picture: Callable[[Tensor], Captioned],
    *axes: str,
) -> None:
    """Write n examples in parts (B, …) as the suffix asks for; a picture has a caption strip."""

    def drawn() -> Picture:
        image, caption = picture(torch.cat(list(parts)))
        return captioned(image, caption, run_title(run))

    rows = (levels(part, run.spec) if draw else part for part in parts)
    write(out, as_picture(drawn) | as_array(rows, n) | as_rows(run, parts, n, *axes))
