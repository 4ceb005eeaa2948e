"""Checks of a data set: each yields findings on the measurements, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.doctor.data_fixes import kept_rows, named, own_splits, without_columns
from vaelab.doctor.data_measurements import DataMeasurements
from vaelab.doctor.data_value_checks import in_range
from vaelab.doctor.findings import Evidence, Finding, Findings, Fix
from vaelab.utils.messages import Message, joined

REPEATED, LEAKED, NEARLY = 0.01, 0.005, 0.02
IMBALANCE, MISMATCH = 10.0, 2.0
ALIKE = 1 - 1e-6
WIDE = 2000
"""Columns beyond which pairs of them are not compared."""
FEW, OFTEN, SMALL = 12, 10, 10_000
"""Whole numbers that are so few, so often each, and so small count or name something."""


def varies(seen: DataMeasurements) -> Findings:
    """Is there anything to be learned, in every column?"""
    constant = (seen.train == seen.train[0]).all(0)
    if bool(constant.all()) and bool((seen.train == seen.train[0, 0]).all()):
        yield Finding(
            "constant",
            "error",
            Message(
                "what.constant-value",
                "every training value is {value:g}: there is nothing to learn",
                value=float(seen.train[0, 0]),
            ),
            Evidence("distinct values", 1),
            Message("remedy.constant", "look at how the file was written"),
        )
    elif bool(constant.all()):
        yield Finding(
            "constant",
            "error",
            Message(
                "what.constant-rows", "every training row is the same: there is nothing to learn"
            ),
            Evidence("distinct rows", 1),
            Message("remedy.constant", "look at how the file was written"),
        )
    elif bool(constant.any()) and not seen.data.spec.is_image:
        which = constant.nonzero().flatten().tolist()
        yield Finding(
            "constant-columns",
            "warning",
            Message(
                "what.constant-columns",
                "column {names} is the same in every training row",
                names=named(seen, which),
            ),
            Evidence("constant columns", len(which), 0, _of(seen.train.shape[1])),
            Message("remedy.constant-columns", "leave them out"),
            without_columns(seen, which),
        )


def columns_differ(seen: DataMeasurements) -> Findings:
    """Are there columns of a table that repeat others, or only count rows?"""
    if seen.data.spec.is_image or not 2 <= seen.train.shape[1] <= WIDE:
        return
    x = seen.train - seen.train.mean(0)
    size = x.norm(dim=0)
    unit = x / size.clamp(min=1e-300)
    alike = ((unit.T @ unit).abs() > ALIKE) & (size > 0) & (size > 0)[:, None]
    pairs = alike.triu(1).nonzero().tolist()
    if pairs:
        repeats = [
            Message("part.repeats", "{b} repeats {a}", a=named(seen, [a]), b=named(seen, [b]))
            for a, b in pairs[:5]
        ]
        yield Finding(
            "duplicate-columns",
            "warning",
            Message(
                "what.duplicate-columns",
                "columns are the same up to scale and offset: {repeats}; each counts twice in "
                "every loss",
                repeats=joined("; ", repeats),
            ),
            Evidence("pairs of columns", len(pairs), 0),
            Message("remedy.duplicate-columns", "keep one of each"),
            without_columns(seen, sorted({b for _, b in pairs})),
        )
    splits = (seen.data.train, seen.data.valid, seen.data.test)
    rows = sum(map(len, splits))
    if rows <= 2 * len(seen.train):
        whole = torch.cat([split.x[:].double() for split in splits])
        spans = whole.amax(0) - whole.amin(0) == rows - 1
        counting = [
            j for j in spans.nonzero().flatten().tolist() if len(whole[:, j].unique()) == rows
        ]
        if counting:
            yield Finding(
                "row-number",
                "warning",
                Message(
                    "what.row-number",
                    "column {names} only counts the rows",
                    names=named(seen, counting),
                ),
                Evidence("columns that do", len(counting), 0),
                Message("remedy.row-number", "leave it out: it carries no information about a row"),
                without_columns(seen, counting),
            )


def rows_differ(seen: DataMeasurements) -> Findings:
    """Are rows repeated, and is the test split free of training rows?"""
    found = seen.repeats
    natural = found.natural > 0.5 * found.repeated / found.rows
    if natural:
        return
    if found.repeated > REPEATED * found.rows:
        yield Finding(
            "duplicate-rows",
            "warning",
            Message(
                "what.duplicate-rows",
                "{repeated:,} of {rows:,} rows are copies of others",
                repeated=found.repeated,
                rows=found.rows,
            ),
            Evidence("share of copies", found.repeated / found.rows, REPEATED),
            Message("remedy.duplicate-rows", "x = np.unique(x, axis=0), with y in the same order"),
            Fix("table", "frame = frame.drop_duplicates()")
            if seen.data.spec.header
            else None
            if own_splits(seen)
            else Fix("array", kept_rows(seen, "np.unique(x, axis=0, return_index=True)[1]")),
        )
    if found.leaked > LEAKED * found.tested:
        yield Finding(
            "leak",
            "error",
            Message(
                "what.leak",
                "{leaked:,} of {tested:,} validation and test rows are training rows too: {splits} "
                "cannot tell learning from memory",
                leaked=found.leaked,
                tested=found.tested,
                splits=Message("part.own-splits", "the file's own splits")
                if own_splits(seen)
                else Message("part.split", "the split"),
            ),
            Evidence("share of them that leak", found.leaked / found.tested, LEAKED),
            Message(
                "remedy.leak", "take them out of one side; split after removing copies, not before"
            ),
            Fix(
                "array",
                "known = {row.tobytes() for row in x_train}; "
                "x_test = x_test[[row.tobytes() not in known for row in x_test]]; "
                "x_valid = x_valid[[row.tobytes() not in known for row in x_valid]]",
            )
            if own_splits(seen)
            else Fix("table", "frame = frame.drop_duplicates()")
            if seen.data.spec.header
            else Fix("array", kept_rows(seen, "np.unique(x, axis=0, return_index=True)[1]")),
        )
    if seen.near is not None and seen.near.value - 2 * seen.near.se > NEARLY:
        yield Finding(
            "near-leak",
            "warning",
            Message(
                "what.near-leak",
                "some validation or test rows are nearly training rows, ten times nearer than is "
                "usual",
            ),
            Evidence.of("share of them", seen.near, NEARLY),
            Message(
                "remedy.near-leak",
                "split by what rows come from (person, video, day), not row by row",
            ),
        )


def kinds_said(seen: DataMeasurements) -> Findings:
    """Are columns of two values, or of a few whole ones, declared as such?"""
    spec = seen.data.spec
    if spec.is_image or spec.header or spec.domain not in ("real", "counts"):
        return
    x = torch.cat([seen.train, seen.held])
    whole = ((x == x.round()) & (x >= 0)).all(0) & (x != x[0]).any(0)
    binary = whole & (x <= 1).all(0)
    few = torch.zeros_like(whole)
    if spec.domain == "real":  # of columns that are all counts, it is known
        for j in (whole & ~binary).nonzero().flatten().tolist():
            few[j] = x[:, j].max() <= SMALL and len(x[:, j].unique()) <= min(FEW, len(x) // OFTEN)
    two, some = (which.nonzero().flatten().tolist() for which in (binary, few))
    said = []
    if two:
        text = "column {names} holds only 0 and 1: binary"
        said.append(Message("part.holds-two", text, names=named(seen, two)))
    if some:
        text = "column {names} holds a few whole numbers: counts or categories"
        said.append(Message("part.holds-few", text, names=named(seen, some)))
    if said:
        count = len(two) + len(some)
        kinds = ["real"] * spec.dims
        for j in binary.nonzero().flatten().tolist():
            kinds[j] = "binary"
        for j in few.nonzero().flatten().tolist():
            kinds[j] = "counts"
        change = f"data = vaelab.data.with_columns(data, {kinds})"
        yield Finding(
            "kinds-unset",
            "warning",
            Message(
                "what.kinds-unset",
                "{columns}; taken for numbers like others, their density is unbounded",
                columns=joined("; ", said),
            ),
            Evidence("columns of another kind", count, 0, _of(spec.dims)),
            Message(
                "remedy.kinds-unset",
                "give each column its kind: {change}; or a .csv with names, whose kinds are "
                "inferred",
                change=change,
            ),
            Fix("data", change),
        )


def splits_agree(seen: DataMeasurements) -> Findings:
    """Are training and test rows of one distribution?"""
    x, y = seen.train, seen.held
    if seen.data.spec.is_image:
        x, y = x.reshape(-1, 1), y.reshape(-1, 1)
    deviation = x.std(0)
    kept = deviation > 0
    if not bool(kept.any()):
        return
    z = (y[:, kept] - x[:, kept].mean(0)) / deviation[kept]
    size = float(z.square().mean(0).sqrt().median())
    if not 1 / MISMATCH < size < MISMATCH and _apart(x[:, kept], y[:, kept]):
        yield Finding(
            "split-mismatch",
            "error",
            Message(
                "what.split-mismatch",
                "validation and test rows are not scaled as training rows are",
            ),
            Evidence(
                "root mean square of their values, in training's σ",
                size,
                MISMATCH if size > 1 else 1 / MISMATCH,
            ),
            Message(
                "remedy.split-mismatch",
                "prepare all splits alike, with the numbers of the training split",
            ),
        )


def _apart(x: Tensor, y: Tensor) -> bool:
    """True if the middle half of y is apart too: a few far values are no other scale."""
    middle = x.median(0).values
    own, other = ((rows - middle).abs().median(0).values for rows in (x, y))
    known = own > 0
    ratio = (other[known] / own[known]).median() if bool(known.any()) else torch.tensor(math.inf)
    return not 1 / MISMATCH < float(ratio) < MISMATCH


def balanced(seen: DataMeasurements) -> Findings:
    """Are classes about equally frequent?"""
    labels = seen.data.train.y
    if labels is None or len(seen.data.spec.classes) < 2:
        return
    names = seen.data.spec.classes
    counts = torch.bincount(labels, minlength=len(names)).tolist()
    most, least = max(counts), min(counts)
    if most > IMBALANCE * least:
        yield Finding(
            "imbalance",
            "warning",
            Message(
                "what.imbalance",
                "class {common} has {most:,} training rows, {rare} has {least:,}",
                common=names[counts.index(most)],
                rare=names[counts.index(least)],
                most=most,
                least=least,
            ),
            Evidence("ratio", most / max(least, 0.5), IMBALANCE),
            Message(
                "remedy.imbalance",
                "samples will show the rare classes as rarely: draw rows by class, or look at "
                "figures class by class",
            ),
            None
            if own_splits(seen)
            else Fix(
                "array",
                f"keep = np.concatenate([np.flatnonzero(y == c)[:{3 * max(least, 1)}] "
                "for c in np.unique(y)]); x = x[keep]; y = y[keep]",
            ),
        )


def _of(count: int) -> Message:
    """The unit of a number of columns."""
    return Message("unit.of", "of {count}", count=count)


CHECKS: dict[str, Callable[[DataMeasurements], Findings]] = {
    "constant values and columns": varies,
    "columns that repeat": columns_differ,
    "rows that repeat or leak": rows_differ,
    "range and outliers": in_range,
    "kinds of columns": kinds_said,
    "splits alike": splits_agree,
    "classes": balanced,
}
