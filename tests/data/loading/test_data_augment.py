"""Augmentation: its distribution, its seed, and the batches that stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vaelab import Plan
from vaelab.data import Batches, Data, DataSpec, load
from vaelab.data.loading import streaming
from vaelab.data.loading.augment import augmented, check_augment
from vaelab.recipes import vae
from vaelab.training import fit
from vaelab.training.population import fit_population

PHOTO = DataSpec("array", (3, 16, 24), "uint8", 256, 0, 255, (0.0,), (255.0,))
ROWS = torch.randint(0, 256, (7, 3, 16, 24), generator=torch.Generator().manual_seed(4)).byte()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padded(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The window of a mirror-padded image, by NumPy."""
    _, height, width = image.shape
    wide = np.pad(image, ((0, 0), (2, 2), (3, 3)), mode="reflect")
    return wide[:, 2 + down : 2 + down + height, 3 + right : 3 + right + width]


def test_flip_mirrors_half_of_the_rows_and_leaves_the_others() -> None:
    x = ROWS[:1].expand(4000, -1, -1, -1)
    changed = augmented(x, "flip", generator())
    mirrored = (changed == x.flip(-1)).flatten(1).all(1)
    assert bool((mirrored | (changed == x).flatten(1).all(1)).all())
    assert abs(float(mirrored.double().mean()) - 0.5) < 4 * 0.5 / 4000**0.5
    assert changed.dtype == torch.uint8


def test_crop_takes_every_window_of_the_mirrored_image_equally_often() -> None:
    n = 7000
    changed = augmented(ROWS[:1].expand(n, -1, -1, -1), "crop", generator()).numpy()
    windows = [(i, j) for i in range(-2, 3) for j in range(-3, 4)]
    counts = {
        at: int((changed == padded(ROWS[0].numpy(), *at)).reshape(n, -1).all(1).sum())
        for at in windows
    }
    assert sum(counts.values()) == n
    expected = n / len(windows)
    statistic = sum((k - expected) ** 2 / expected for k in counts.values())
    assert statistic < 71  # the 99.98% quantile of χ² with 34 degrees of freedom


def test_flip_crop_changes_examples_independently() -> None:
    changed = augmented(ROWS[:1].expand(300, -1, -1, -1), "flip-crop", generator())
    kinds = changed.flatten(1).unique(dim=0)
    assert len(kinds) > 60  # of 2 · 5 · 7 windows
    assert bool((changed.flatten(1)[1:] != changed.flatten(1)[:-1]).any(1).double().mean() > 0.9)


@pytest.mark.parametrize("device", ["resident", "streamed"])
def test_epoch_with_augmentation_follows_the_seed(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "streamed":
        monkeypatch.setattr(streaming, "SHARE", 0.0)
        monkeypatch.setattr("vaelab.data.loading.batches.fits", lambda x, place: False)
    labels = torch.arange(7)
    spec = replace(PHOTO, condition="labels", classes=tuple("abcdefg"), shares=(1 / 7,) * 7)
    batches = Batches(ROWS, spec, "cpu", labels, "flip-crop")
    assert isinstance(batches.rows, streaming.Streamed) == (device == "streamed")

    def epoch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        found = list(batches.epoch(3, generator(seed)))
        return torch.cat([b.x for b in found]), torch.cat([b.condition[0] for b in found])

    first, again, other = epoch(1), epoch(1), epoch(2)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    # Every row comes once, beside its own label, as one of the images that the seed can make of it.
    for x, condition in zip(*first, strict=True):
        image = ROWS[int(condition.argmax())].numpy()
        made = [padded(image, i, j) for i in range(-2, 3) for j in range(-3, 4)]
        raw = (x * 255).round().byte().numpy()
        assert any((raw == m).all() or (raw == m[:, :, ::-1]).all() for m in made)
    assert sorted(int(c.argmax()) for c in first[1]) == list(range(7))


def test_fixed_rows_are_never_augmented() -> None:
    batches = Batches(ROWS, PHOTO, augment="flip-crop")
    plain = Batches(ROWS, PHOTO)
    assert torch.equal(torch.cat(list(batches.fixed(3, 0))), torch.cat(list(plain.fixed(3, 0))))


def photos(n: int = 40) -> Data:
    """Photos whose left half is dark: a mirrored one is at once told from the others."""
    x = torch.randint(0, 60, (n, 1, 8, 8), generator=generator(5)).byte()
    x[..., 4:] += 150
    return load(x.numpy(), valid=8, test=4)


# The step is compiled behind the loader, which alone augments.
@pytest.mark.parametrize("compile", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_training_sees_augmented_rows_and_validation_does_not(
    compile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    data = photos()
    plan = Plan(epochs=4, batch_size=8, augment="flip", compile=compile, seed=3)
    shuffled = Batches.shuffled

    def watched(self: Batches, *args: object) -> object:
        for batch in shuffled(self, *args):  # type: ignore[arg-type]
            seen.append(batch.x)
            yield batch

    monkeypatch.setattr(Batches, "shuffled", watched)
    recipe = vae(data.spec, latent=2)
    judged: list[torch.Tensor] = []
    fixed = Batches.fixed
    monkeypatch.setattr(
        Batches, "fixed", lambda self, *a: (judged.append(x) or x for x in fixed(self, *a))
    )
    result = fit(recipe.model, recipe.objective, data, recipe.data, plan)
    assert len(result.history) == 4
    trained = torch.cat(seen)
    assert len(trained) == 4 * 28
    dark = trained[..., :4].double().mean((1, 2, 3)) < trained[..., 4:].double().mean((1, 2, 3))
    assert 0.3 < float(dark.double().mean()) < 0.7
    rows = torch.cat(judged)
    assert torch.equal(rows[:8], recipe.data.prepare(data.valid.x))
    assert bool((rows[..., :4].mean((1, 2, 3)) < rows[..., 4:].mean((1, 2, 3))).all())


def test_training_with_augmentation_repeats_and_differs_from_one_without() -> None:
    def weights(**settings: object) -> torch.Tensor:
        data, plan = photos(), Plan(epochs=2, batch_size=8, **settings)  # type: ignore[arg-type]
        recipe = vae(data.spec, latent=2)
        fit(recipe.model, recipe.objective, data, recipe.data, plan)
        return torch.cat([p.detach().flatten() for p in recipe.model.parameters()])

    first = weights(augment="flip-crop", seed=1)
    assert torch.equal(first, weights(augment="flip-crop", seed=1))
    assert not torch.equal(first, weights(seed=1))


def test_population_is_augmented_as_a_single_training_is(monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen = photos(), []
    shuffled = Batches.shuffled

    def watched(self: Batches, *args: object) -> object:
        for batch in shuffled(self, *args):  # type: ignore[arg-type]
            seen.append(batch.x)
            yield batch

    monkeypatch.setattr(Batches, "shuffled", watched)
    plan = Plan(epochs=1, batch_size=8, augment="flip", seed=3)
    alone = vae(data.spec, latent=2)
    fit(alone.model, alone.objective, data, alone.data, plan)
    single = torch.cat(seen)
    seen.clear()
    pair = [vae(data.spec, latent=2) for _ in range(2)]
    fit_population(
        [r.model for r in pair], [r.objective for r in pair], data, alone.data, [plan, plan]
    )
    assert torch.equal(torch.cat(seen), single)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (replace(PHOTO, shape=(5,)), "this table (5) has no left and right"),
        (replace(PHOTO, shape=(9, 2)), "this series (9×2) has no left and right"),
        (replace(PHOTO, levels=2, high=1, scale=(1.0,)), "black and white only"),
    ],
)
def test_augment_of_data_that_are_no_photos_is_refused(spec: DataSpec, words: str) -> None:
    check_augment("none", spec)
    with pytest.raises(ValueError, match="leave augment out") as error:
        check_augment("flip", spec)
    assert words in str(error.value)


def test_plan_refuses_an_unknown_augmentation() -> None:
    with pytest.raises(ValueError, match=r"augment.*mirror"):
        Plan(augment="mirror")  # type: ignore[arg-type]


def test_small_sides_are_not_shifted() -> None:
    x = torch.arange(2 * 7 * 5).view(1, 2, 7, 5).expand(50, -1, -1, -1)
    assert torch.equal(augmented(x, "crop", generator()), x)
