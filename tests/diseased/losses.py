"""Losses as people write them: `HEALTHY`, and `ILL` with the finding each must lead to."""

import math

import torch
import torch.nn.functional as F
from torch import distributions as D
from torch import nn


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


def kl_of(mu, logvar):
    return -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()


def bce_of(recon, x):
    return F.binary_cross_entropy(recon, x, reduction="sum") / x.shape[0]


def summed(recon_x, x, mu, logvar):
    """The well-known example: summed over the batch, which weighs both terms alike."""
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def softplus_scale(x, recon, mu, scale):
    q, p = D.Normal(mu, F.softplus(scale)), D.Normal(torch.zeros_like(mu), 1.0)
    return bce_of(recon, x) + D.kl_divergence(q, p).sum(1).mean()


def softplus_with_a_small_number(x, recon, mu, rho):
    q, p = D.Normal(mu, F.softplus(rho) + 1e-6), D.Normal(torch.zeros_like(mu), 1.0)
    return bce_of(recon, x) + D.kl_divergence(q, p).sum(1).mean()


def softplus_variance(x, recon, mu, raw_var):
    v = F.softplus(raw_var)
    return bce_of(recon, x) + 0.5 * (mu**2 + v - 1 - v.log()).sum(1).mean()


def elu_scale(x, recon, mu, raw):
    """No reading of s is this one, and it is a KL for all that."""
    s = F.elu(raw) + 1 + 1e-6
    return bce_of(recon, x) + 0.5 * (mu**2 + s**2 - 1 - 2 * s.log()).sum(1).mean()


def one_sample(x, recon, mu, logvar):
    q, p = D.Normal(mu, (0.5 * logvar).exp()), D.Normal(torch.zeros_like(mu), 1.0)
    z = q.rsample()
    return bce_of(recon, x) + (q.log_prob(z) - p.log_prob(z)).sum(1).mean()


def one_sample_by_hand(x, recon, mu, logvar):
    eps = torch.randn(mu.shape, dtype=mu.dtype)
    z = mu + eps * torch.exp(0.5 * logvar)
    kl = -0.5 * (logvar + eps**2) + 0.5 * z**2
    return bce_of(recon, x) + kl.sum(1).mean()


def many_samples(x, recon, mu, logvar):
    q, p = D.Normal(mu, (0.5 * logvar).exp()), D.Normal(torch.zeros_like(mu), 1.0)
    z = q.rsample((16,))
    return bce_of(recon, x) + (q.log_prob(z) - p.log_prob(z)).sum(-1).mean()


def multivariate(x, recon, mu, logvar):
    q = D.MultivariateNormal(mu, scale_tril=torch.diag_embed((logvar / 2).exp()))
    p = D.MultivariateNormal(torch.zeros_like(mu), torch.eye(mu.shape[1], dtype=mu.dtype))
    return bce_of(recon, x) + D.kl_divergence(q, p).mean()


def row_by_row(x, recon, mu, logvar):
    rows = zip(recon, x, mu, logvar, strict=True)
    return sum(
        F.binary_cross_entropy(r, t, reduction="sum") - 0.5 * (1 + s - m**2 - s.exp()).sum()
        for r, t, m, s in rows
    ) / len(x)


def latents_of_three_axes(x, recon, mu, logvar):
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
    return F.mse_loss(recon, x, reduction="sum") / x.shape[0] + kl


def learned_noise(x, recon, mu, logvar, log_sigma):
    nll = 0.5 * (x - recon) ** 2 / (2 * log_sigma).exp() + log_sigma + 0.5 * math.log(2 * math.pi)
    return nll.flatten(1).sum(1).mean() + kl_of(mu, logvar)


def learned_noise_of_torch(x, x_mu, x_logvar, z_mu, z_logvar):
    nll = F.gaussian_nll_loss(x_mu, x, x_logvar.exp(), reduction="sum") / x.shape[0]
    return nll + kl_of(z_mu, z_logvar)


def one_noise_for_all(x, recon, mu, logvar, log_var_x):
    error = 0.5 * ((x - recon) ** 2).flatten(1).sum(1).mean() / log_var_x.exp()
    return error + 0.5 * x[0].numel() * log_var_x + kl_of(mu, logvar)


log_scale = nn.Parameter(torch.zeros(1))


def global_noise(x, recon, mu, logvar):
    nll = (x - recon) ** 2 / (2 * (2 * log_scale).exp()) + log_scale
    return nll.sum() / x.shape[0] + kl_of(mu, logvar)


def fixed_noise(x, recon, mu, logvar, sigma=0.1):
    return ((x - recon) ** 2 / (2 * sigma**2)).flatten(1).sum(1).mean() + kl_of(mu, logvar)


def clamp_against_overflow(x, recon, mu, logvar):
    return bce_of(recon, x) + kl_of(mu, logvar.clamp(-10, 10))


def weight_without_a_default(x, recon, mu, logvar, kl_weight):
    return bce_of(recon, x) + kl_weight * kl_of(mu, logvar)


def beta_two(x, recon, mu, logvar, beta=2.0):
    return bce_of(recon, x) + beta * kl_of(mu, logvar)


def warm_up(x, recon, mu, logvar, step=100, warmup=1000):
    return bce_of(recon, x) + min(1.0, step / warmup) * kl_of(mu, logvar)


def free_bits(x, recon, mu, logvar):
    kl = (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).mean(0)
    return bce_of(recon, x) + kl.clamp(min=0.5).sum()


def capacity_five(x, recon, mu, logvar, gamma=10.0, capacity=5.0):
    return bce_of(recon, x) + gamma * (kl_of(mu, logvar) - capacity).abs()


def small_numbers(x, recon, mu, logvar):
    bce = -(x * (recon + 1e-8).log() + (1 - x) * (1 - recon + 1e-8).log())
    return bce.sum(1).mean() + kl_of(mu, logvar)


def single_precision(x, recon, mu, logvar):
    return bce_of(recon.float(), x.float()) + kl_of(mu.float(), logvar.float())


class Criterion(nn.Module):
    def forward(self, x, recon, mu, logvar):
        return bce_of(recon, x) + kl_of(mu, logvar)


criterion = Criterion()


HEALTHY = [
    bce_mean_over_batch,
    logits_and_a_dictionary,
    gaussian,
    squared_error_and_std,
    beta_four_for_images,
    distributions,
    per_dimension,
    summed,
    softplus_scale,
    softplus_with_a_small_number,
    softplus_variance,
    elu_scale,
    one_sample,
    one_sample_by_hand,
    many_samples,
    multivariate,
    row_by_row,
    latents_of_three_axes,
    learned_noise,
    learned_noise_of_torch,
    one_noise_for_all,
    global_noise,
    fixed_noise,
    clamp_against_overflow,
    weight_without_a_default,
    beta_two,
    warm_up,
    free_bits,
    capacity_five,
    small_numbers,
    single_precision,
]


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


def clamped_below(x, recon, mu, logvar):
    return bce_of(recon, x) + kl_of(mu, logvar.clamp(min=-4))


def clamped_both_ways(x, recon, mu, logvar):
    return bce_of(recon, x) + kl_of(mu, torch.clamp(logvar, -2, 2))


def capped_at_the_prior(x, recon, mu, logvar):
    return bce_of(recon, x) + kl_of(mu, torch.minimum(logvar, torch.ones_like(logvar)))


def clamped_log_std(x, recon, mu, log_std):
    s = log_std.clamp(-3, 1)
    return bce_of(recon, x) + 0.5 * (mu**2 + (2 * s).exp() - 1 - 2 * s).sum(1).mean()


def least_std(x, recon, mu, std):
    s = std.clamp(min=0.1)
    return bce_of(recon, x) + 0.5 * (mu**2 + s**2 - 1 - 2 * s.log()).sum(1).mean()


def soft_clamp(x, recon, mu, logvar):
    return bce_of(recon, x) + kl_of(mu, 3 * torch.tanh(logvar / 3))


def variance_with_a_floor(x, recon, mu, logvar):
    v = logvar.exp() + 0.05
    return bce_of(recon, x) + 0.5 * (mu**2 + v - 1 - v.log()).sum(1).mean()


def exponential_capped(x, recon, mu, logvar):
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp().clamp(max=1.0))
    return bce_of(recon, x) + kl.sum(1).mean()


def kl_capped(x, recon, mu, logvar):
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    return bce_of(recon, x) + kl.clamp(max=20).mean()


def mean_over_channels(x, recon, mu, logvar):
    return ((x - recon) ** 2).mean(1).sum((1, 2)).mean() / 2 + kl_of(mu, logvar)


def mean_over_pixels(x, recon, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="none").mean((2, 3)).sum(1).mean()
    return bce + kl_of(mu, logvar)


def channels_and_batch_alike(x, recon, mu, logvar):
    return ((x - recon) ** 2).sum((2, 3)).mean() / 2 + kl_of(mu, logvar)


def mean_over_width(x, recon, mu, logvar):
    bce = F.binary_cross_entropy(recon, x, reduction="none").mean(-1).sum((1, 2)).mean()
    return bce + kl_of(mu, logvar)


def mean_over_latent_channels(x, recon, mu, logvar):
    kl = (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).mean(1).sum((1, 2)).mean()
    return bce_of(recon, x) + kl


def averages_compared(x, recon, mu, logvar):
    return (x - recon).mean((2, 3)).pow(2).sum(1).mean() + kl_of(mu, logvar)


def beta_twice(x, recon, mu, logvar, beta=4.0):
    return bce_of(recon, x) + beta * (beta * kl_of(mu, logvar))


def beta_on_both(x, recon, mu, logvar, beta=4.0):
    return beta * (bce_of(recon, x) + kl_of(mu, logvar))


BETA = 4.0


def weighed_kl(mu, logvar):
    return BETA * kl_of(mu, logvar)


def global_beta_twice(x, recon, mu, logvar):
    return bce_of(recon, x) + BETA * weighed_kl(mu, logvar)


def reconstruction_weight_twice(x, recon, mu, logvar, recon_weight=3.0):
    return recon_weight * (recon_weight * bce_of(recon, x)) + kl_of(mu, logvar)


def added_twice(x, recon, mu, logvar):
    kl = kl_of(mu, logvar)
    loss = bce_of(recon, x) + kl
    return loss + kl


def noise_without_its_cost(x, recon, mu, logvar, log_sigma):
    error = ((x - recon) ** 2 / (2 * (2 * log_sigma).exp())).sum() / x.shape[0]
    return error + kl_of(mu, logvar)


def noise_of_pixels_without_its_cost(x, x_mu, x_logvar, z_mu, z_logvar):
    error = 0.5 * ((x - x_mu) ** 2 / x_logvar.exp()).flatten(1).sum(1).mean()
    return error + kl_of(z_mu, z_logvar)


def cost_of_the_noise_once(x, recon, mu, logvar, log_sigma):
    error = ((x - recon) ** 2 / (2 * (2 * log_sigma).exp())).flatten(1).sum(1).mean()
    return error + log_sigma.mean() + kl_of(mu, logvar)


class LearnedNoise(nn.Module):
    def __init__(self):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x, recon, mu, logvar):
        error = ((x - recon) ** 2 / (2 * self.log_sigma.exp() ** 2)).flatten(1).sum(1).mean()
        return error + self.log_sigma + kl_of(mu, logvar)


learned_noise_once = LearnedNoise()


def half_the_cost(x, x_hat, mu, logvar, x_std):
    nll = (x - x_hat) ** 2 / (2 * x_std**2) + 0.5 * x_std.log()
    return nll.flatten(1).sum(1).mean() + kl_of(mu, logvar)


def sigma_for_its_square(x, recon, mu, logvar, sigma=0.1):
    return ((x - recon) ** 2 / (2 * sigma)).flatten(1).sum(1).mean() + kl_of(mu, logvar)


def variance_squared(x, x_hat, mu, logvar, x_var):
    nll = 0.5 * ((x - x_hat) ** 2 / x_var**2 + x_var.log())
    return nll.flatten(1).sum(1).mean() + kl_of(mu, logvar)


def sample_of_another_width(x, recon, mu, logvar):
    q, p = D.Normal(mu, (0.5 * logvar).exp()), D.Normal(torch.zeros_like(mu), 1.0)
    z = mu + logvar.exp() * torch.randn_like(mu)
    return bce_of(recon, x) + (q.log_prob(z) - p.log_prob(z)).sum(1).mean()


def entropy_forgotten(x, recon, mu, logvar):
    return bce_of(recon, x) + 0.5 * (mu**2 + logvar.exp() - 1).sum(1).mean()


def kl_of_batch_means(x, recon, mu, logvar):
    m, s = mu.mean(0), logvar.mean(0)
    return bce_of(recon, x) - 0.5 * (1 + s - m**2 - s.exp()).sum()


def kl_of_batch_moments(x, recon, mu, logvar):
    m, v = mu.mean(0), mu.var(0)
    return bce_of(recon, x) + 0.5 * (m**2 + v - 1 - v.log()).sum()


def kl_of_sampled_moments(x, recon, mu, logvar):
    z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
    m, v = z.mean(0), z.var(0)
    return bce_of(recon, x) + 0.5 * (m**2 + v - 1 - v.log()).sum()


def kl_of_the_aggregate(x, recon, mu, logvar):
    m, v = mu.mean(0), mu.var(0, unbiased=False) + logvar.exp().mean(0)
    return bce_of(recon, x) + 0.5 * (m**2 + v - 1 - v.log()).sum()


def kl_of_latent_means(x, recon, mu, logvar):
    m, s = mu.mean(1), logvar.mean(1)
    return bce_of(recon, x) - 0.5 * (1 + s - m**2 - s.exp()).mean()


def _exchanged(mu, sigma):
    q, p = D.Normal(mu, sigma), D.Normal(torch.zeros_like(mu), 1.0)
    return D.kl_divergence(p, q).sum(1).mean()


def reversed_logvar(x, recon, mu, logvar):
    return bce_of(recon, x) + _exchanged(mu, (0.5 * logvar).exp())


def reversed_std(x, recon, mu, std):
    return bce_of(recon, x) + _exchanged(mu, std)


def reversed_log_std(x, recon, mu, log_std):
    return bce_of(recon, x) + _exchanged(mu, log_std.exp())


def reversed_variance(x, recon, mu, var):
    return bce_of(recon, x) + 0.5 * (var.log() + (1 + mu**2) / var - 1).sum(1).mean()


def reversed_softplus(x, recon, mu, raw_scale):
    return bce_of(recon, x) + _exchanged(mu, F.softplus(raw_scale))


def both_directions(x, recon, mu, logvar):
    return reversed_logvar(x, recon, mu, logvar) + kl_of(mu, logvar)


def halves_forgotten_twice(x, recon, mu, logvar):
    kl = -(1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    return F.mse_loss(recon, x, reduction="sum") / x.shape[0] + kl


def mean_twice(x, recon, mu, logvar):
    return (bce_of(recon, x) + kl_of(mu, logvar)) / len(x)


ILL = {
    mean_twice: "batch-power",
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
    clamped_below: "scale-clamped",
    clamped_both_ways: "scale-clamped",
    capped_at_the_prior: "scale-clamped",
    clamped_log_std: "scale-clamped",
    least_std: "scale-clamped",
    soft_clamp: "scale-clamped",
    variance_with_a_floor: "scale-clamped",
    exponential_capped: "kl-form",
    kl_capped: "kl-capped",
    mean_over_channels: "mean-reconstruction",
    mean_over_pixels: "mean-reconstruction",
    channels_and_batch_alike: "mean-reconstruction",
    mean_over_width: "mean-reconstruction",
    mean_over_latent_channels: "mean-kl",
    averages_compared: "reconstruction-of-averages",
    beta_twice: "weight-twice",
    beta_on_both: "weight-twice",
    global_beta_twice: "weight-twice",
    reconstruction_weight_twice: "weight-twice",
    added_twice: "kl-twice",
    noise_without_its_cost: "noise-cost",
    noise_of_pixels_without_its_cost: "noise-cost",
    cost_of_the_noise_once: "noise-cost",
    half_the_cost: "noise-cost",
    sigma_for_its_square: "noise-power",
    variance_squared: "noise-power",
    sample_of_another_width: "kl-form",
    entropy_forgotten: "kl-form",
    kl_of_batch_means: "kl-of-averages",
    kl_of_batch_moments: "kl-of-averages",
    kl_of_sampled_moments: "kl-of-averages",
    kl_of_the_aggregate: "kl-of-averages",
    kl_of_latent_means: "kl-of-averages",
    reversed_logvar: "kl-reversed",
    reversed_std: "kl-reversed",
    reversed_log_std: "kl-reversed",
    reversed_variance: "kl-reversed",
    reversed_softplus: "kl-reversed",
    both_directions: "kl-form",
    halves_forgotten_twice: "kl-twice",
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
