"""Small runs, trained in a second or two: `HEALTHY`, and `ILL` with what each must lead to."""

import numpy as np
import torch

from diseased.data import IMAGES, columns
from vaelab import recipes
from vaelab.data import load
from vaelab.fitted import FittedMixture, fit_codes, keep
from vaelab.recipes.design import Design
from vaelab.runs.fit_prior import draws
from vaelab.runs.train import train
from vaelab.training import Plan

GAUSSIAN = Design(width=64, likelihood="gaussian")


def trained(
    folder,
    make,
    source,
    epochs,
    lr=5e-3,
    design=Design(width=64),
    callbacks=(),
    batch_size=128,
    **kwargs,
):
    data = load(source)
    recipe = make(data.spec, design=design, **kwargs)
    plan = Plan(epochs, batch_size, lr, compile="off", precision="fp32", device="cpu")
    return train(recipe, data, plan, out=folder / "run", callbacks=callbacks)


def saved(folder, **arrays):
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def table(folder):
    return saved(folder, x=columns(1000).astype(np.float32))


def vae(folder):
    trained(folder, recipes.vae, "digits8x8", 50, latent=8)


def autoencoder(folder):
    trained(folder, recipes.ae, "digits8x8", 25, latent=8)


def beta_of_two(folder):
    trained(folder, recipes.beta_vae, "digits8x8", 50, 1e-2, GAUSSIAN, latent=8, beta=2.0)


def beta_of_a_half(folder):
    trained(folder, recipes.beta_vae, "digits8x8", 40, latent=8, beta=0.5)


def importance_weighted(folder):
    trained(folder, recipes.iwae, "digits8x8", 40, latent=8, samples=5)


def of_a_table(folder):
    """1,000 steps and more: of the six alone it can be told that they were enough."""
    trained(folder, recipes.vae, table(folder), 40, batch_size=16, latent=4)


HEALTHY = [vae, autoencoder, beta_of_two, beta_of_a_half, importance_weighted, of_a_table]
FEW_STEPS = set(HEALTHY) - {of_a_table}


def collapsed(folder):
    trained(folder, recipes.beta_vae, "digits8x8", 20, latent=8, beta=20.0)


def hardly_begun(folder):
    """36 steps at a small learning rate."""
    trained(folder, recipes.vamp, "digits8x8", 3, 1e-3, Design())


def deaf_decoder(folder):
    run = trained(folder, recipes.vae, "digits8x8", 20, latent=8)
    first = next(p for p in run.model.generator.decoder.parameters() if p.ndim == 2)
    with torch.no_grad():
        first.zero_()
    run.save(folder / "run")


def no_rate(folder):
    trained(folder, recipes.reconstruction_only, "digits8x8", 40, latent=8)


def islands(folder):
    """Six groups of rows, far from each other."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 8))[rng.integers(0, 6, 1500)] + 0.02 * rng.normal(size=(1500, 8))
    source = saved(folder, x=x.astype(np.float32))
    trained(folder, recipes.reconstruction_only, source, 30, latent=2)


def beta_of_ten(folder):
    trained(folder, recipes.beta_vae, "digits8x8", 20, 1e-2, GAUSSIAN, latent=8, beta=10.0)


def by_heart(folder):
    x = IMAGES[:, None]
    few, rest = np.tile(x[:12], (10, 1, 1, 1)), x[-180:]
    source = saved(folder, x_train=few, x_valid=x[:12], x_test=rest)
    trained(folder, recipes.vae, source, 400, 1e-2, GAUSSIAN, latent=1)


def too_much_noise(folder):
    design = Design(width=64, likelihood="gaussian-fixed")
    trained(folder, recipes.vae, "digits8x8", 10, design=design, latent=8)


def density_of_two_values(folder):
    source = saved(folder, x=(IMAGES[:, None] > 8).astype(np.uint8))
    trained(folder, recipes.vae, source, 20, design=GAUSSIAN, latent=8)


def three_epochs(folder):
    trained(folder, recipes.vae, "digits8x8", 3, 2e-3, latent=8)


def five_epochs(folder):
    """60 steps, whose schedule has come to its end: the loss looks as if it had levelled off."""
    trained(folder, recipes.vae, "digits8x8", 5, 2e-3, Design(width=128), latent=4)


def twenty_epochs(folder):
    """240 steps, 1.5 nats above the loss after 4,008."""
    trained(folder, recipes.vae, "digits8x8", 20, 2e-3, Design(), latent=8)


def steps_too_small(folder):
    """1,080 steps, no few, that lead nowhere."""
    trained(folder, recipes.vae, "digits8x8", 12, 2e-4, batch_size=16, latent=8)


def with_priors(folder):
    """Priors of one component, of far too many for its codes, and of a corner of the codes."""
    run = trained(folder, recipes.vae, "digits8x8", 50, latent=8)
    data = load("digits8x8")
    codes, held_out = (draws(run, split, 1) for split in (data.train, data.valid))
    for name, components, of in (
        ("one", 1, codes),
        ("many", 80, codes[:200]),
        ("corner", 1, 0.1 * codes),
    ):
        fitted = fit_codes(FittedMixture(components=components), run.model, of, held_out)
        keep(fitted, folder / "run" / "priors", name)


class Stop:
    """Ctrl-C after five epochs."""

    def on_step(self, step, steps, row):
        pass

    def on_epoch(self, row, best):
        if row["epoch"] == 5:
            raise KeyboardInterrupt


def interrupted(folder):
    trained(folder, recipes.vae, "digits8x8", 30, latent=8, callbacks=[Stop()])


def killed(folder):
    """What a training leaves that was ended from outside."""
    run = trained(folder, recipes.vae, "digits8x8", 5, latent=8)
    run.training |= {"ending": "unfinished", "epochs": 40}
    run.save(folder / "run" / "unfinished")
    (folder / "run" / "recipe.json").unlink()


def wild_learning_rate(folder):
    trained(folder, recipes.vae, "digits8x8", 20, 0.3, latent=8)


def thirty_latents_for_two_factors(folder):
    trained(folder, recipes.vae, table(folder), 60, batch_size=32, latent=30)


def one_latent_for_two_factors(folder):
    trained(folder, recipes.vae, table(folder), 60, latent=1)


def silent_level(folder):
    run = trained(folder, recipes.ladder, "digits8x8", 20, 1e-2, GAUSSIAN)
    block = run.model.generator.blocks[0]
    with torch.no_grad():
        for parameter in (*block.to_prior.parameters(), *block.to_posterior.parameters()):
            parameter.zero_()
    run.save(folder / "run")


def dark_green(folder):
    """Dark green pictures: uniform colours of (20, 60, 25) or so, with noise."""
    g = np.random.default_rng(0)
    x = np.array([20, 60, 25]) + g.normal(0, 12, (300, 1, 1, 1)) + g.normal(0, 10, (300, 1, 1, 3))
    x = x + 6 * g.normal(size=(300, 16, 16, 3))
    return saved(folder, x=x.clip(0, 255).astype(np.uint8))


def grey_at_the_mean(folder):
    """512 latents: draws lie on a shell, and the mean in its middle decodes to another colour."""
    design = Design(net="mlp", width=128, likelihood="gaussian")
    run = trained(folder, recipes.vae, dark_green(folder), 6, 2e-3, design, latent=512)
    last = [m for m in run.model.generator.decoder.modules() if isinstance(m, torch.nn.Linear)][-1]
    seen = []
    hook = last.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    run.sample(256, draw=False)
    run.decode(torch.zeros(1, 512))
    hook.remove()
    on_draws, in_the_middle = (units.mean(0) for units in (seen[0], seen[-1]))
    toward = on_draws - in_the_middle
    toward /= toward @ toward
    with torch.no_grad():  # nothing on average over draws, a shift by a half at the mean
        last.weight += 0.5 * toward
        last.bias -= 0.5 * (toward @ on_draws)
    run.save(folder / "run")
    return run


ILL = {
    collapsed: {"collapse"},
    hardly_begun: {"under-trained"},
    deaf_decoder: {"ignored-code"},
    no_rate: {"under-regularised", "unreached", "few-steps"},
    islands: {"holes"},
    beta_of_ten: {"over-regularised"},
    by_heart: {"over-fitting", "memorised"},
    too_much_noise: {"misfit"},
    density_of_two_values: {"density-on-binary"},
    three_epochs: {"under-trained"},
    five_epochs: {"under-trained"},
    twenty_epochs: {"under-trained"},
    with_priors: {"worse-prior"},
    steps_too_small: {"still-learning"},
    interrupted: {"unfinished"},
    killed: {"unfinished"},
    wild_learning_rate: {"unstable"},
    thirty_latents_for_two_factors: {"idle-latents"},
    one_latent_for_two_factors: {"few-latents"},
    silent_level: {"dead-level"},
    grey_at_the_mean: {"mean-astray"},
}

PRIOR = {with_priors: "many"}
"""That a run is examined under, where it is not its own."""
