"""Checks of a data set: each yields findings on the measurements, and nothing else."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from vaelab.doctor.data_measurements import DataMeasurements
from vaelab.doctor.findings import Evidence, Finding, Findings, Fix, short

REPEATED, LEAKED, NEARLY = 0.01, 0.005, 0.02
IMBALANCE, OUTLIER, MISMATCH = 10.0, 50.0, 2.0
FREQUENT, SEVERAL = (5, 0.005), 10
"""Rows, and share of rows, of a code for missing values; distinct values that others must have."""

APART, CODED = 5.0, 2.0
"""Usual deviations between a code and all other values; fewer for −999 and its like."""

RANGES = {
    (0, 1): "x = x.clip(0, 1)",
    (-1, 1): "x = x.clip(-1, 1)",
    (0, 255): "x = x.clip(0, 255) / 255",
}
"""Scales that pixels have, and what brings them back to it."""
OVERSHOOT = 0.1
"""Share of a range by which a resize may leave it."""
ALIKE = 1 - 1e-6
WIDE = 2000
"""Columns beyond which pairs of them are not compared."""


FEW, OFTEN, SMALL = 12, 10, 10_000
"""Whole numbers that are so few, so often each, and so small count or name something."""


def named(seen: DataMeasurements, numbers: Sequence[int], most: int = 8) -> str:
    """The first few of these columns, by name or else by number, and how many more there are."""
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(seen.data.spec.headings[j].name for j in numbers[:most]) + more


def without_columns(seen: DataMeasurements, numbers: Sequence[int]) -> Fix | None:
    """Leaving these columns out, by flag or by array."""
    spec = seen.data.spec
    if spec.header:
        flags = ",".join(f"{spec.headings[j].name}=out" for j in numbers)
        return Fix("read", f"--columns {shlex.quote(flags)}")
    if len(spec.shape) > 1 or _own_splits(seen):
        return None
    return Fix("array", f"x = np.delete(x, {list(numbers)}, axis=1)")


def kept_rows(seen: DataMeasurements, condition: str) -> str:
    """Code that keeps some rows of x, and the same of y."""
    labels = "" if seen.data.train.y is None else "; y = y[keep]"
    return f"keep = {condition}; x = x[keep]{labels}"


def varies(seen: DataMeasurements) -> Findings:
    """Is there anything to be learned, in every column?"""
    constant = (seen.train == seen.train[0]).all(0)
    if bool(constant.all()) and bool((seen.train == seen.train[0, 0]).all()):
        yield Finding(
            "constant",
            "error",
            f"every training value is {float(seen.train[0, 0]):g}: there is nothing to learn",
            Evidence("distinct values", 1),
            "look at how the file was written",
        )
    elif bool(constant.all()):
        yield Finding(
            "constant",
            "error",
            "every training row is the same: there is nothing to learn",
            Evidence("distinct rows", 1),
            "look at how the file was written",
        )
    elif bool(constant.any()) and not seen.data.spec.is_image:
        which = constant.nonzero().flatten().tolist()
        yield Finding(
            "constant-columns",
            "warning",
            f"column {named(seen, which)} is the same in every training row",
            Evidence("constant columns", len(which), 0, f"of {seen.train.shape[1]}"),
            "leave them out",
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
        told = "; ".join(f"{named(seen, [b])} repeats {named(seen, [a])}" for a, b in pairs[:5])
        yield Finding(
            "duplicate-columns",
            "warning",
            f"columns are the same up to scale and offset: {told}; each counts twice in every loss",
            Evidence("pairs of columns", len(pairs), 0),
            "keep one of each",
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
                f"column {named(seen, counting)} only counts the rows",
                Evidence("columns that do", len(counting), 0),
                "leave it out: it carries no information about a row",
                without_columns(seen, counting),
            )


def rows_differ(seen: DataMeasurements) -> Findings:
    """Are rows repeated, and is the test split free of training rows?"""
    found, own = seen.repeats, "the file's own splits" if _own_splits(seen) else "the split"
    natural = found.natural > 0.5 * found.repeated / found.rows
    if natural:
        return
    if found.repeated > REPEATED * found.rows:
        yield Finding(
            "duplicate-rows",
            "warning",
            f"{found.repeated:,} of {found.rows:,} rows are copies of others",
            Evidence("share of copies", found.repeated / found.rows, REPEATED),
            "x = np.unique(x, axis=0), with y in the same order",
            Fix("table", "frame = frame.drop_duplicates()")
            if seen.data.spec.header
            else None
            if _own_splits(seen)
            else Fix("array", kept_rows(seen, "np.unique(x, axis=0, return_index=True)[1]")),
        )
    if found.leaked > LEAKED * found.tested:
        yield Finding(
            "leak",
            "error",
            f"{found.leaked:,} of {found.tested:,} validation and test rows are training rows too: "
            f"{own} cannot tell learning from memory",
            Evidence("share of them that leak", found.leaked / found.tested, LEAKED),
            "take them out of one side; split after removing copies, not before",
            Fix(
                "array",
                "known = {row.tobytes() for row in x_train}; "
                "x_test = x_test[[row.tobytes() not in known for row in x_test]]; "
                "x_valid = x_valid[[row.tobytes() not in known for row in x_valid]]",
            )
            if _own_splits(seen)
            else Fix("table", "frame = frame.drop_duplicates()")
            if seen.data.spec.header
            else Fix("array", kept_rows(seen, "np.unique(x, axis=0, return_index=True)[1]")),
        )
    if seen.near is not None and seen.near.value - 2 * seen.near.se > NEARLY:
        yield Finding(
            "near-leak",
            "warning",
            "some validation or test rows are nearly training rows, ten times nearer than is usual",
            Evidence.of("share of them", seen.near, NEARLY),
            "split by what rows come from (person, video, day), not row by row",
        )


def _own_splits(seen: DataMeasurements) -> bool:
    return not any("drawn by seed" in note for note in seen.data.notes)


def in_range(seen: DataMeasurements) -> Findings:
    """Are values in their expected range, without codes for missing values and far outliers?"""
    spec = seen.data.spec
    if spec.is_image:
        yield from _pixels(seen)
    if spec.domain == "binary" or (spec.is_image and spec.domain != "real"):
        return
    x = torch.cat([seen.train, seen.held])
    if spec.is_image:
        x = x.reshape(-1, 1)
    codes = {
        j: code for j in range(x.shape[1]) if (code := _sentinel(seen, x[:, j], j)) is not None
    }
    if codes:
        yield _sentinels(seen, x, codes)
    if not spec.is_image and spec.domain != "levels":
        yield from _outliers(seen, x, set(codes))


def _pixels(seen: DataMeasurements) -> Findings:
    spec = seen.data.spec
    low, high = spec.low, spec.high
    if spec.domain == "real":
        for (start, end), change in RANGES.items():
            over = OVERSHOOT * (end - start)
            if start - over <= low and high <= end + over and high > start + 0.2 * (end - start):
                beyond = low < start or high > end
                what = (
                    f"a little beyond {start}–{end}, as after a resize"
                    if beyond
                    else f"fractions within {start}–{end}"
                )
                yield _image_range(low, high, what, change)
                return
        what = "standardised, or on a scale of their own"
        yield _image_range(low, high, what, "x = (x - x.min()) / (x.max() - x.min())")
    elif spec.domain == "unit" and high < 0.1:
        yield Finding(
            "image-range",
            "warning",
            f"pixels are in [0, 1] but reach {high:.3g} only: divided by 255 twice?",
            Evidence("greatest pixel", high, 0.1),
            "divide once, or not at all: x = x * 255",
            Fix(
                "array", "x = np.clip(x * 255, 0, 1)" if high * 255 <= 1.001 else "x = x / x.max()"
            ),
        )


def _image_range(low: float, high: float, what: str, change: str) -> Finding:
    return Finding(
        "image-range",
        "warning",
        f"pixels lie from {low!r} to {high!r}, {what}; no likelihood of images fits",
        Evidence("least pixel" if low < 0 else "greatest pixel", low if low < 0 else high),
        change,
        Fix("array", change),
    )


def _sentinel(seen: DataMeasurements, values: Tensor, column: int) -> float | None:
    """A value at an end of a column that is frequent, and far from all others."""
    spec = seen.data.spec
    if spec.columns and spec.columns[column % len(spec.columns)].kind in ("binary", "categories"):
        return None
    for end in (values.min(), values.max()):
        rest = values[values != end]
        count = len(values) - len(rest)
        if count < max(FREQUENT[0], FREQUENT[1] * len(values)) or len(rest) < SEVERAL:
            continue
        if len(rest[:4096].unique()) < SEVERAL:
            continue
        order = rest.sort().values
        usual = float(order[3 * len(order) // 4] - order[len(order) // 4]) / 1.35
        gap = float((rest - end).abs().min())
        needed = CODED if _is_code(float(end)) else APART
        if gap > needed * max(usual, 1e-300):
            return float(end)
    return None


def _is_code(value: float) -> bool:
    """True for −999, 9999, −99.9 and their like.

    >>> _is_code(-999.0), _is_code(99.99), _is_code(-1.0), _is_code(42.0)
    (True, True, True, False)
    """
    digits = f"{abs(value):g}".replace(".", "")
    return value == -1 or (len(digits) > 1 and set(digits) == {"9"}) or abs(value) > 1e29


def _sentinels(seen: DataMeasurements, x: Tensor, codes: Mapping[int, float]) -> Finding:
    spec = seen.data.spec
    column, code = next(iter(codes.items()))
    share = float((x[:, column] == code).double().mean())
    told = (
        f"{short(code)} in {share:.0%} of the pixels"
        if spec.is_image
        else "; ".join(
            f"{short(v)} in {float((x[:, j] == v).double().mean()):.0%} of column "
            f"{named(seen, [j])}"
            for j, v in list(codes.items())[:4]
        )
    )
    code_text = f"{code:g}"
    if spec.header:
        conditions = " & ".join(
            f"(frame[{spec.headings[j].name!r}] != {v:g})" for j, v in codes.items()
        )
        fix = Fix("table", f"frame = frame[{conditions}]")
    elif spec.is_image or len(spec.shape) > 1:
        fix = Fix("array", f"x = np.where(x == {code_text}, x[x != {code_text}].min(), x)")
    else:
        conditions = " & ".join(f"(x[:, {j}] != {v:g})" for j, v in codes.items())
        fix = Fix("array", kept_rows(seen, conditions))
    return Finding(
        "sentinel",
        "warning",
        f"a code for missing values is taken for a number: {told}, far from every other value",
        Evidence("share of rows with it", share, FREQUENT[1]),
        f"leave these rows out ({fix.change}), or fill the values in",
        fix,
    )


def _outliers(seen: DataMeasurements, x: Tensor, but: set[int]) -> Findings:
    spec = seen.data.spec
    kinds = [
        spec.columns[j % len(spec.columns)].kind if spec.columns else "" for j in range(spec.dims)
    ]
    positive = torch.tensor([kind == "positive" for kind in kinds])
    far = _distance(torch.where(positive, x.clamp(min=1e-300).log(), x))  # as they are modelled
    far[list(but)] = 0.0
    if not float(far.max()) > OUTLIER:
        return
    j = int(far.argmax())
    remedy, fix = _tamed(seen, x[:, j], j, kinds[j])
    yield Finding(
        "outliers",
        "warning",
        f"column {named(seen, [j])} has a value {float(far[j]):,.0f} usual deviations from its "
        "median: the rest of it is squeezed into nothing",
        Evidence("farthest value", float(far[j]), OUTLIER, "usual deviations"),
        remedy,
        fix,
    )


def _distance(x: Tensor) -> Tensor:
    """The farthest value of each column (N, D), in usual deviations from its median, (D,)."""
    order = x.sort(0).values
    low, middle, high = (order[len(x) * quarter // 4] for quarter in (1, 2, 3))
    usual = (high - low) / 1.35  # σ, of a normal
    far = (x - middle).abs().amax(0) / usual.clamp(min=1e-300)
    return torch.where(usual > 0, far, 0.0)  # a column that is mostly one value has no outlier


def _tamed(seen: DataMeasurements, column: Tensor, j: int, kind: str) -> tuple[str, Fix | None]:
    """A change that these very values can take, and that brings the farthest of them near."""
    spec = seen.data.spec
    name = spec.headings[j].name

    def near(values: Tensor) -> bool:
        return float(_distance(values[:, None])) <= OUTLIER

    if kind != "positive" and float(column.min()) > 0 and near(column.log()):
        if spec.header:
            flag = f"--columns {shlex.quote(f'{name}=positive')}"
            return f"{flag}, which models its logarithm", Fix("read", flag)
        return f"x[:, {j}] = np.log(x[:, {j}])", _on_array(seen, f"x[:, {j}] = np.log(x[:, {j}])")
    if kind != "positive" and float(column.min()) >= 0 and near(column.log1p()):
        change = f"np.log1p({{}}[{name!r}])" if spec.header else f"np.log1p({{}}[:, {j}])"
    else:
        order = column.sort().values
        low, high = (float(order[len(order) * quarter // 4]) for quarter in (1, 3))
        reach = 8 * (high - low)
        ends = (low - reach, high + reach)
        if kind == "positive":
            ends = (max(low / 100, float(order[order > 0][0])), 100 * high)
        place = f"[{name!r}]" if spec.header else f"[:, {j}]"
        change = f"{{}}{place}.clip({ends[0]:.6g}, {ends[1]:.6g})"
    if spec.header:
        code = f"frame[{name!r}] = {change.format('frame')}"
        return f"look at that row, or {code}", Fix("table", code)
    code = f"x[:, {j}] = {change.format('x')}"
    return f"look at that row, or {code}", _on_array(seen, code)


def _on_array(seen: DataMeasurements, code: str) -> Fix | None:
    return None if _own_splits(seen) or len(seen.data.spec.shape) > 1 else Fix("array", code)


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
    told = {
        "only 0 and 1: binary": binary.nonzero().flatten().tolist(),
        "a few whole numbers: counts or categories": few.nonzero().flatten().tolist(),
    }
    said = [f"column {named(seen, which)} holds {what}" for what, which in told.items() if which]
    if said:
        count = sum(map(len, told.values()))
        kinds = ["real"] * spec.dims
        for j in binary.nonzero().flatten().tolist():
            kinds[j] = "binary"
        for j in few.nonzero().flatten().tolist():
            kinds[j] = "counts"
        change = f"data = vaelab.data.with_columns(data, {kinds})"
        yield Finding(
            "kinds-unset",
            "warning",
            f"{'; '.join(said)}; taken for numbers like others, their density is unbounded",
            Evidence("columns of another kind", count, 0, f"of {spec.dims}"),
            f"give each column its kind: {change}; or a .csv with names, whose kinds are inferred",
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
            "validation and test rows are not scaled as training rows are",
            Evidence(
                "root mean square of their values, in training's σ",
                size,
                MISMATCH if size > 1 else 1 / MISMATCH,
            ),
            "prepare all splits alike, with the numbers of the training split",
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
            f"class {names[counts.index(most)]} has {most:,} training rows, "
            f"{names[counts.index(least)]} has {least:,}",
            Evidence("ratio", most / max(least, 0.5), IMBALANCE),
            "samples will show the rare classes as rarely: draw rows by class, or look at figures "
            "class by class",
            None
            if _own_splits(seen)
            else Fix(
                "array",
                f"keep = np.concatenate([np.flatnonzero(y == c)[:{3 * max(least, 1)}] "
                "for c in np.unique(y)]); x = x[keep]; y = y[keep]",
            ),
        )


CHECKS: dict[str, Callable[[DataMeasurements], Findings]] = {
    "constant values and columns": varies,
    "columns that repeat": columns_differ,
    "rows that repeat or leak": rows_differ,
    "range and outliers": in_range,
    "kinds of columns": kinds_said,
    "splits alike": splits_agree,
    "classes": balanced,
}
