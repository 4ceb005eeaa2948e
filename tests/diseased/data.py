"""Data sets, written to a folder: `HEALTHY`, and `ILL` with the finding each must lead to."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

IMAGES = load_digits().images.astype(np.uint8)
LABELS = load_digits().target


def rng():
    return np.random.default_rng(0)


def columns(rows=600, width=6):
    """Two factors behind `width` columns."""
    g = rng()
    factors = g.normal(size=(rows, 2))
    return factors @ g.normal(size=(2, width)) + 0.3 * g.normal(size=(rows, width))


def saved(folder, **arrays):
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def picture(folder, name, pixels):
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}.png")


def pictures(folder, count=40, sizes=((12, 12),), colour=()):
    g = rng()
    for i in range(count):
        shape = sizes[i % len(sizes)] + ((3,) if i in colour else ())
        picture(folder / "pictures", f"{i:03}", g.integers(0, 256, shape))
    return folder / "pictures"


def digits(folder):
    return "digits8x8"


def table(folder):
    return saved(folder, x=columns())


def sorted_by_time(folder):
    x = columns()
    x[:, 0] = np.sort(x[:, 0])
    return saved(folder, x=x, y=np.repeat([0, 1, 2], 200))


def few_values(folder):
    """Three answers to each of four questions repeat themselves without a mistake."""
    return saved(folder, x=rng().integers(0, 3, (600, 4)).astype(np.uint8))


def folder_of_pictures(folder):
    return pictures(folder)


def own_splits(folder):
    x = columns()
    return saved(folder, x_train=x[:400], x_valid=x[400:500], x_test=x[500:])


def named_columns(folder):
    """The kinds of columns with names are found."""
    x = columns()
    rows = zip(x[:, 0], x[:, 1].round().clip(0, 4).astype(int), x[:, 2] > 0, x[:, 3], strict=True)
    lines = ["height,answer,smoker,width", *(",".join(map(str, row)) for row in rows)]
    (folder / "people.csv").write_text("\n".join(lines))
    return folder / "people.csv"


def one_large_column(folder):
    """By its numbers alone, one row in fifteen would lie next to a training row."""
    x = rng().normal(size=(4000, 20))
    return saved(folder, x=x * np.where(np.arange(20) == 7, 1_000_000, 1))


def many_zeros(folder):
    """A spike at 0 that other values come near to is no code."""
    x = columns()
    x[:, 2] = np.where(rng().random(len(x)) < 0.4, 0, np.exp(x[:, 2]).round(2))
    return saved(folder, x=x)


def counts_with_zeros(folder):
    g = rng()
    return saved(folder, x=g.poisson(4, (600, 3)) * (g.random((600, 3)) < 0.7))


def two_far_values(folder):
    """Of two values neither is a code for the other's absence."""
    x = columns()
    x[:, 1] = np.where(x[:, 1] > 0, 100.0, 3.0)
    (folder / "t.csv").write_text("a,b,c\n" + "\n".join(f"{r[0]},{r[1]},{r[2]}" for r in x))
    return folder / "t.csv"


HEALTHY = [
    *(digits, table, named_columns, sorted_by_time, few_values, folder_of_pictures, own_splits),
    *(one_large_column, many_zeros, counts_with_zeros, two_far_values),
]


def nan(folder):
    x = columns()
    x[7, 2], x[9, 0] = np.nan, np.inf
    return saved(folder, x=x)


def one_value(folder):
    return saved(folder, x=np.full((60, 4), 3.0))


def one_row(folder):
    return saved(folder, x=np.tile([1.0, 2.0, 3.5], (60, 1)))


def dead_column(folder):
    x = columns()
    x[:, 3] = 1.5
    return saved(folder, x=x)


def same_twice(folder):
    x = columns()
    x[:, 4] = 1.8 * x[:, 1] + 32  # Fahrenheit beside Celsius
    return saved(folder, x=x)


def yes_and_no(folder):
    x = columns()
    x[:, 3] = x[:, 3] > 0
    return saved(folder, x=x)


def answers(folder):
    x = columns()
    x[:, 1] = (2 + x[:, 1]).round().clip(0, 4)
    return saved(folder, x=x)


def identifiers(folder):
    x = columns()
    x[:, 0] = rng().permutation(len(x)) + 1000
    return saved(folder, x=x)


def copies(folder):
    x = columns()
    return saved(folder, x=np.concatenate([x, x[:60]]))


def leak(folder):
    x = columns()
    return saved(folder, x_train=x[:500], x_valid=x[500:550], x_test=np.r_[x[:20], x[550:]])


def near_leak(folder):
    """Frames of a film: a test row beside its neighbour in time."""
    x = IMAGES[:800].reshape(800, 1, 8, 8) / 16
    g = rng()
    again = (x[:40] + 0.005 * g.normal(size=x[:40].shape)).clip(0, 1)
    return saved(folder, x_train=x[:600], x_valid=x[600:700], x_test=np.r_[again, x[700:]])


def standardised_images(folder):
    x = IMAGES.astype(np.float32)
    return saved(folder, x=((x - x.mean()) / x.std())[:, None])


def divided_twice(folder):
    return saved(folder, x=IMAGES[:, None] / 255 / 16)


def far_outlier(folder):
    x = columns(4000)
    x[5, 1] = 99_999
    return saved(folder, x=x)


def unscaled_test(folder):
    x = columns()
    return saved(folder, x_train=x[:400], x_valid=x[400:500], x_test=255 * x[500:])


def shifted_test(folder):
    x = columns()
    return saved(folder, x_train=x[:400], x_valid=10 + x[400:500], x_test=10 + x[500:])


def sentinels(folder):
    """Missing values written as −999 in a fifth of the rows, where 40 is a usual deviation."""
    x = 300 + 40 * columns()
    x[rng().random(len(x)) < 0.2, 1] = -999
    return saved(folder, x=x)


def sentinels_in_labelled_rows(folder):
    x = columns()
    x[::7, 2] = 9999
    return saved(folder, x=x, y=np.arange(len(x)) % 3)


def sentinels_of_a_table(folder):
    x = columns()
    x[::5, 0], x[::9, 3] = -999, -1e30
    lines = ["height,age,mass,rate", *(",".join(f"{v:.4g}" for v in row[:4]) for row in x)]
    (folder / "survey.csv").write_text("\n".join(lines))
    return folder / "survey.csv"


def sentinels_of_maps(folder):
    x = 20 + 3 * rng().normal(size=(200, 1, 8, 8))
    x[:, :, :3, :2] = -9999.0
    return saved(folder, x=x.astype(np.float32))


def spent(folder):
    """Money with zeros among it, which no logarithm takes."""
    g = rng()
    spend = np.where(g.random(2000) < 0.4, 0, np.exp(3 + 2.5 * g.normal(size=2000))).round(2)
    lines = [
        "spend,other",
        *(f"{a},{b:.3f}" for a, b in zip(spend, g.normal(size=2000), strict=True)),
    ]
    (folder / "spend.csv").write_text("\n".join(lines))
    return folder / "spend.csv"


def incomes(folder):
    x = columns(2000)
    x[:, 1] = np.exp(2.5 * rng().normal(size=2000))
    return saved(folder, x=x)


def overshoot(folder):
    """Resized pictures, a little beyond 0–255."""
    x = IMAGES[:, None] / 16 * 255
    return saved(folder, x=(x + 4 * rng().normal(size=x.shape)).astype(np.float32))


def repeated_table(folder):
    x = columns()
    lines = [f"{r[0]:.3f},{r[1]:.3f},{r[2]:.3f}" for r in x]
    (folder / "twice.csv").write_text("a,b,c\n" + "\n".join([*lines, *lines[:80]]))
    return folder / "twice.csv"


def rare_class(folder):
    keep = np.r_[np.flatnonzero(LABELS == 0), np.flatnonzero(LABELS == 1)[:12]]
    return saved(folder, x=IMAGES[keep], y=LABELS[keep])


def wrapped_bytes(folder):
    """1.01 becomes 1 and −0.02 becomes 251 where fractions are cast without scaling."""
    x = IMAGES / 16 + 0.01 * rng().normal(size=IMAGES.shape)
    x = x - 0.01 * (x < 0.01)
    return saved(folder, x=(x * 1.0).astype(np.int64).astype(np.uint8) - (x < -0.015).astype("u1"))


def times_in_seconds(folder):
    x = columns()
    x[:, 2] = 1.7e9 + np.arange(len(x)) + rng().random(len(x))
    return saved(folder, x=x)


def mixed_sizes(folder):
    return pictures(folder, sizes=((12, 12), (12, 12), (9, 16)))


def unreadable(folder):
    made = pictures(folder)
    (made / "cut.png").write_bytes((made / "000.png").read_bytes()[:60])
    return made


def mixed_colours(folder):
    return pictures(folder, colour=range(10))


ILL = {
    nan: "nan",
    one_value: "constant",
    one_row: "constant",
    dead_column: "constant-columns",
    same_twice: "duplicate-columns",
    yes_and_no: "kinds-unset",
    answers: "kinds-unset",
    identifiers: "row-number",
    copies: "duplicate-rows",
    leak: "leak",
    near_leak: "near-leak",
    standardised_images: "image-range",
    divided_twice: "image-range",
    far_outlier: "outliers",
    unscaled_test: "split-mismatch",
    rare_class: "imbalance",
    shifted_test: "split-mismatch",
    sentinels: "sentinel",
    sentinels_in_labelled_rows: "sentinel",
    sentinels_of_a_table: "sentinel",
    sentinels_of_maps: "sentinel",
    spent: "outliers",
    incomes: "outliers",
    overshoot: "image-range",
    repeated_table: "duplicate-rows",
    wrapped_bytes: "wrapped-bytes",
    times_in_seconds: "lost-precision",
    mixed_sizes: "mixed-sizes",
    unreadable: "unreadable",
    mixed_colours: "mixed-colours",
}
