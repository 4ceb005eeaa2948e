"""Losses as people write them: `HEALTHY`, and `ILL` with the finding each must lead to."""

import math

import torch
import torch.nn.functional as F


def bce_mean_over_batch(x, recon, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="none").sum(1)
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
    return (bce + kl).mean()


def logits_and_a_dictionary(recon_logits, target, z_mean, z_log_var):
    bce = F.binary_cross_entropy_with_logits(recon_logits, target, reduction="none").sum(1).mean()
    kl = 0.5 * (z_mean**2 + z_log_var.exp() - 1 - z_log_var).sum(1).mean()
    return {"recon": bce, "kl": kl, "loss": bce + kl}


def gaussian(x, x_hat, mu, log_var):
    nll = 0.5 * ((x - x_hat) ** 2 + math.log(2 * math.pi)).flatten(1).sum(1)
    return (nll + 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)).mean()


def squared_error_and_std(inputs, outputs, mean, std):
    error = F.mse_loss(outputs, inputs, reduction="sum") / inputs.size(0)
    kl = 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).sum(1).mean()
    return error + kl, error, kl


def beta_four_for_images(x, reconstruction, mu, logvar, beta=4.0):
    error = F.binary_cross_entropy(reconstruction, x, reduction="none").sum(dim=(1, 2, 3))
    kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1)
    return torch.mean(error + beta * kl)


def distributions(x, logits, mu, log_sigma):
    q = torch.distributions.Normal(mu, log_sigma.exp())
    p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    kl = torch.distributions.kl_divergence(q, p).sum(-1)
    nll = -torch.distributions.Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(-1)
    return (nll + kl).mean()


def per_dimension(x, recon, mu, logvar):
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean() / x[0].numel()
    return F.binary_cross_entropy(recon, x) + kl


HEALTHY = [
    bce_mean_over_batch,
    logits_and_a_dictionary,
    gaussian,
    squared_error_and_std,
    beta_four_for_images,
    distributions,
    per_dimension,
]


def kl_of(mu, logvar):
    return -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()


def bce_of(recon, x):
    return F.binary_cross_entropy(recon, x, reduction="sum") / x.shape[0]


def summed(recon_x, x, mu, logvar):
    """The well-known example: right, but it grows with the batch."""
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def mean_reconstruction(x, recon, mu, logvar):
    return F.mse_loss(recon, x) + kl_of(mu, logvar)


def mean_reconstruction_of_one_size(recon, x, mu, logvar):
    return F.binary_cross_entropy(recon.view(-1, 784), x.view(-1, 784)) + kl_of(mu, logvar)


def mean_kl(x, recon, mu, logvar):
    return bce_of(recon, x) - 0.5 * torch.mean(1 + logvar - mu**2 - logvar.exp())


def kl_summed_over_the_batch(x, recon, mu, logvar):
    """As where a quantizer's loss is summed over the batch and the reconstruction averaged."""
    return bce_of(recon, x) - 0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())


def kl_by_share_of_the_data(x, recon, mu, logvar):
    return F.mse_loss(recon, x) + x.shape[0] / 60_000 * kl_of(mu, logvar)


def kl_sign(x, recon, mu, logvar):
    return bce_of(recon, x) - kl_of(mu, logvar)


def reconstruction_sign(x, recon, mu, logvar):
    return -bce_of(recon, x) + kl_of(mu, logvar)


def capacity_of_nothing(x, recon, mu, logvar, capacity=0.0):
    return bce_of(recon, x) + torch.clamp(kl_of(mu, logvar), max=capacity)


def no_kl(x, recon, mu, logvar):
    return bce_of(recon, x) + kl_of(mu, logvar).item()


def std_as_logvar(x, recon, mu, std):
    return bce_of(recon, x) + kl_of(mu, std)


def logvar_as_logstd(x, recon, mu, logvar):
    kl = 0.5 * (mu**2 + (2 * logvar).exp() - 1 - 2 * logvar).sum(1).mean()
    return bce_of(recon, x) + kl


def std_for_variance(x, recon, mu, std):
    return bce_of(recon, x) + 0.5 * (mu**2 + std - 1 - std.log()).sum(1).mean()


def mu_not_squared(x, recon, mu, logvar):
    return bce_of(recon, x) - 0.5 * (1 + logvar - mu - logvar.exp()).sum(1).mean()


def exp_forgotten(x, recon, mu, logvar):
    return bce_of(recon, x) - 0.5 * (1 + logvar - mu**2 - logvar).sum(1).mean()


def mixed_up_exponents(x, recon, mu, logvar):
    return bce_of(recon, x) + 0.5 * (mu**2 + (2 * logvar).exp() - 1 - logvar).sum(1).mean()


def one_forgotten(x, recon, mu, logvar):
    return bce_of(recon, x) - 0.5 * (logvar - mu**2 - logvar.exp()).sum(1).mean()


def double_sigmoid(x, logits, mu, logvar):
    error = F.binary_cross_entropy_with_logits(torch.sigmoid(logits), x, reduction="sum")
    return error / x.shape[0] + kl_of(mu, logvar)


def probabilities_called_logits(x, logits, mu, logvar):
    return bce_of(logits, x) + kl_of(mu, logvar)


def swapped(x, recon, mu, logvar):
    return bce_of(x, recon) + kl_of(mu, logvar)


def log_of_nothing(x, recon, mu, logvar):
    bce = -(x * torch.log(recon) + (1 - x) * torch.log(1 - recon)).sum(1).mean()
    return bce + kl_of(mu, logvar)


def log_of_a_sigmoid(x, logits, mu, logvar):
    p = torch.sigmoid(logits)
    return -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean() + kl_of(mu, logvar)


def half(x, recon, mu, logvar):
    return -(x * torch.log(recon + 1e-12)).sum(1).mean() + kl_of(mu, logvar)


def per_example(x, recon, mu, logvar):
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
    return F.binary_cross_entropy(recon, x, reduction="none").sum(1) + kl


def detached(x, recon, mu, logvar):
    return bce_of(recon.detach(), x) + kl_of(mu, logvar)


def a_number(x, recon, mu, logvar):
    return (bce_of(recon, x) + kl_of(mu, logvar)).item()


def tiny_weight(x, recon, mu, logvar):
    return bce_of(recon, x) + 0.00025 * kl_of(mu, logvar)


def half_forgotten(x, recon, mu, logvar):
    return bce_of(recon, x) - (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()


def hidden_sigmoid(x, recon, mu, logvar):
    return ((x - recon.sigmoid()) ** 2).sum(1).mean() + kl_of(mu, logvar)


def root(x, recon, mu, logvar):
    return F.mse_loss(recon, x).sqrt() + kl_of(mu, logvar)


def sampled(x, recon, mu, logvar):
    z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
    return bce_of(recon, x) + 1e-3 * z.square().sum(1).mean() + kl_of(mu, logvar)


ILL = {
    summed: "batch-sum",
    mean_reconstruction: "mean-reconstruction",
    mean_reconstruction_of_one_size: "mean-reconstruction",
    mean_kl: "mean-kl",
    kl_summed_over_the_batch: "batch-tied-beta",
    kl_by_share_of_the_data: "batch-tied-beta",
    kl_sign: "kl-sign",
    reconstruction_sign: "reconstruction-sign",
    capacity_of_nothing: "kl-without-effect",
    no_kl: "kl-without-effect",
    std_as_logvar: "scale-mismatch",
    logvar_as_logstd: "scale-mismatch",
    std_for_variance: "scale-mismatch",
    mu_not_squared: "kl-form",
    exp_forgotten: "kl-form",
    mixed_up_exponents: "kl-form",
    one_forgotten: "kl-offset",
    double_sigmoid: "double-sigmoid",
    probabilities_called_logits: "logits-mismatch",
    swapped: "swapped",
    log_of_nothing: "not-finite",
    log_of_a_sigmoid: "not-finite",
    half: "half-cross-entropy",
    per_example: "not-scalar",
    detached: "no-gradient",
    a_number: "no-gradient",
    tiny_weight: "odd-beta",
    half_forgotten: "kl-twice",
    hidden_sigmoid: "hidden-sigmoid",
    root: "reconstruction-unknown",
    sampled: "random",
}


def any_arguments(*args, **kwargs):
    recons, inputs, mu, log_var = args
    return bce_of(recons, inputs) + kwargs["M_N"] * kl_of(mu, log_var)


def wordless(a, b, c, d):
    return bce_of(b, a) + kl_of(c, d)


def broken(x, recon, mu, logvar):
    raise RuntimeError("no such thing")


def a_string(x, recon, mu, logvar):
    return "3"


def kl_alone(mu, logvar):
    return kl_of(mu, logvar)


class Model:
    @staticmethod
    def loss(x, recon, mu, logvar):
        print("noise on stdout")
        return bce_of(recon, x) + kl_of(mu, logvar)


constant = 3
