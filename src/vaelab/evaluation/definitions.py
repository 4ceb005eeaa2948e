"""Definitions of all figures: name, unit and meaning. One table for every display.

A figure is known by its name in `evaluation.json`; the terminal, the page and `compare` read its
title and meaning here.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Unit = Literal["nats", "bits/dim", "share", "number", "distance"]

GROUPS = {
    "likelihood": "Likelihood of held-out data",
    "latent": "The rate, and where it goes",
    "prior": "Does the prior fit the codes?",
    "samples": "Samples beside held-out data",
    "factors": "Latents beside factors of variation",
}


class Definition(NamedTuple):
    """One figure.

    Attributes:
        title: its name for people.
        unit: unit of value and standard error.
        group: under which heading it stands.
        meaning: one line.
        definition: exactly, with its source.
    """

    title: str
    unit: Unit
    group: str
    meaning: str
    definition: str


DEFINITIONS = {
    "neg_elbo": Definition(
        *("−ELBO", "nats", "likelihood", "distortion + rate, an upper bound on NLL"),
        "−1/K Σ_k log p(x, z_k)/q(z_k|x), an estimate of E_q[−log p(x|z)] + KL(q(z|x) ‖ p(z)) "
        "from the draws of NLL, which is never above it; standard error over x (1312.6114).",
    ),
    "rate": Definition(
        *("rate", "nats", "likelihood", "what z tells of x: KL(q(z|x) ‖ p(z))"),
        "KL(q(z|x) ‖ p(z)) with the prior as learned; in closed form where there is one.",
    ),
    "distortion": Definition(
        *("distortion", "nats", "likelihood", "what it leaves untold: −E log p(x|z)"),
        "−E_q log p(x|z), summed over the numbers of an example: −ELBO less the rate.",
    ),
    "nll": Definition(
        *("NLL", "nats", "likelihood", "−log p(x), bounded by {samples:,} draws of z"),
        "−log (1/K) Σ_k p(x, z_k)/q(z_k|x), an upper bound on −log p(x) that falls with K "
        "(1509.00519); standard error over x. Called loose where fewer than 10 draws carry weight "
        "for more than 5% of x, or where its slack exceeds its standard error.",
    ),
    "bits": Definition(
        *("NLL per dimension", "bits/dim", "likelihood", "the same, for each number of an example"),
        "NLL / (D log 2), for likelihoods that are probabilities.",
    ),
    "ess": Definition(
        *("effective draws", "number", "likelihood", "of the {samples:,}, how many carry weight"),
        "(Σ w)² / Σ w² of an example's K weights, averaged over x.",
    ),
    "slack": Definition(
        *("slack of NLL", "nats", "likelihood", "what more draws would still take off, at least"),
        "½ (1/ESS − 1/K) averaged over x: the variance of the weights over 2K, to first order.",
    ),
    "nll_ais": Definition(
        *("NLL by AIS", "nats", "likelihood", "−log p(x) by annealing, on {annealed} examples"),
        "Annealed importance sampling from q(z|x) with Hamiltonian moves: a stochastic upper bound "
        "on −log p(x) (1611.04273), of the first examples of the split.",
    ),
    "nll_excess": Definition(
        *("NLL over AIS", "nats", "likelihood", "NLL less NLL by AIS on the same examples"),
        "The paired difference; well above 0, the K draws are too few.",
    ),
    "bdmc_gap": Definition(
        *("sandwich", "nats", "likelihood", "what annealing can be wrong by, on simulated data"),
        "Upper less lower bound on log p(x) for examples simulated from the model, paired "
        "(BDMC, 1511.02543). It holds for data like the model's own.",
    ),
    "split_rate": Definition(
        *("rate of the codes", "nats", "latent", "of the training rows, in the parts below"),
        "E log q(z|x) − log p(z) over draws z ~ q(z) of the training rows; the sum of its parts.",
    ),
    "information": Definition(
        *(
            "index-code information",
            "nats",
            "latent",
            "what z tells of which x it was; at most {ceiling:.1f}",
        ),
        "I_q(x; z) = E log q(z|x) − log q(z), with q(z) the exact mixture of all N posteriors "
        "(Hoffman & Johnson 2016); at most log N.",
    ),
    "total_correlation": Definition(
        *("total correlation", "nats", "latent", "what dimensions of z share: KL(q(z) ‖ Π q(z_j))"),
        "KL(q(z) ‖ Π_j q(z_j)), with the exact mixture (1802.04942).",
    ),
    "dimension_wise": Definition(
        *("dimension-wise KL", "nats", "latent", "each dimension's distance from the prior"),
        "Σ_j KL(q(z_j) ‖ p(z_j)), with the exact mixture.",
    ),
    "active_units": Definition(
        *("active units", "number", "latent", "of {dimensions} dimensions, those that move with x"),
        "Dimensions with Var_x(E_q[z_j]) > 0.01 over the split (1509.00519). A count of these "
        "very rows, without a standard error; it says little of hierarchies.",
    ),
    "mismatch": Definition(
        *("KL(q(z) ‖ p(z))", "nats", "prior", "0 where the codes fill the prior as it expects"),
        "With the exact mixture of the training posteriors (1802.06847): total correlation + "
        "dimension-wise KL.",
    ),
    "mmd": Definition(
        *("MMD²", "number", "prior", "distance of codes and prior draws, 0 where alike"),
        "Unbiased, inverse multiquadratic kernel with C = 2L (1711.01558); it can fall below 0.",
    ),
    "auc": Definition(
        *(
            "two-sample AUC",
            "number",
            "prior",
            "a classifier of codes against prior draws; ½ is best",
        ),
        "Area under the curve of a small network on the halves it did not learn; DeLong's standard "
        "error, with the network as it is (1610.06545).",
    ),
    "holes": Definition(
        *("holes", "share", "prior", "prior draws where no code is; 5% is perfect"),
        "Share of z ~ p(z) whose distance to the 5th nearest training code exceeds the 95th "
        "percentile of the same for held-out codes.",
    ),
    "precision": Definition(
        *("precision", "share", "samples", "samples that look like data"),
        "Share of samples inside some 5-nearest-neighbour ball of held-out data (1904.06991).",
    ),
    "recall": Definition(
        *("recall", "share", "samples", "data that samples could be"),
        "Share of held-out data inside some ball of the samples (1904.06991).",
    ),
    "density": Definition(
        *("density", "number", "samples", "data balls around a sample, over k; 1 where alike"),
        "As precision, counting balls: robust where one outlier's ball reaches far (2002.09797).",
    ),
    "coverage": Definition(
        *("coverage", "share", "samples", "data with a sample nearby"),
        "Share of held-out data whose ball holds a sample (2002.09797).",
    ),
    "fid": Definition(
        *("Fréchet distance", "number", "samples", "in these features, at this number of samples"),
        "Between normals fitted to the features (1706.08500); biased upwards at finite N, which "
        "the standard error does not cover. Comparable only at one N and in one feature space.",
    ),
    "fid_corrected": Definition(
        *("Fréchet, bias removed", "number", "samples", "the same without what falls as 1/N"),
        "The jackknife's correction of the Fréchet distance; may fall below 0.",
    ),
    "kid": Definition(
        *("kernel distance", "number", "samples", "KID in these features, 0 where alike"),
        "Unbiased MMD² with the kernel (aᵀb/F + 1)³ (1801.01401); it can fall below 0.",
    ),
    "nearest_sample": Definition(
        *("sample to training", "distance", "samples", "distance to the nearest training example"),
        "In the features. Far below the next line, samples are copies.",
    ),
    "nearest_held": Definition(
        *("held-out to training", "distance", "samples", "the same for held-out data"),
        "What the distance is where nothing was copied.",
    ),
    "confidence": Definition(
        *("class confidence", "share", "samples", "probability of a sample's most probable class"),
        "Mean over samples, by a classifier of the training data. Blind to memorising.",
    ),
    "balance": Definition(
        *("class balance", "share", "samples", "entropy of the samples' classes over its maximum"),
        "H(ȳ) / log C of the predicted classes of the samples.",
    ),
    "mig": Definition(
        *("MIG", "number", "factors", "lead of a factor's best latent over its second best"),
        "Mean over factors of the gap of mutual informations, z in 20 bins, over the factor's "
        "entropy (1802.04942). A factor of more than 20 values cannot reach 1.",
    ),
    "dci_disentanglement": Definition(
        *("DCI disentanglement", "number", "factors", "does a latent serve one factor?"),
        "1 less the entropy, to base F, of a latent's importances for the factors, weighted by "
        "importance (Eastwood & Williams 2018). Importances are those of a random forest of 10 "
        "trees, all latents at every split; other forests and the paper's lasso give other values: "
        "0.37 to 0.55 for the same codes.",
    ),
    "dci_completeness": Definition(
        *("DCI completeness", "number", "factors", "does a factor need one latent?"),
        "1 less the entropy, to base D, of the latents' importances for a factor, averaged over "
        "factors (Eastwood & Williams 2018).",
    ),
    "dci_informativeness": Definition(
        *(
            "DCI informativeness",
            "share",
            "factors",
            "factors told right; guessing: {disentanglement.guess:.2f}",
        ),
        "Accuracy of the same forests on points they did not learn, averaged over factors.",
    ),
    "sap": Definition(
        *("SAP", "number", "factors", "the lead, by linear predictors of one latent each"),
        "Mean over factors of the best less the second best latent's R², or, for kinds, balanced "
        "accuracy over chance (1711.00848).",
    ),
    "factor_vae": Definition(
        *("FactorVAE score", "share", "factors", "a factor held: which latent holds still?"),
        "Accuracy of the majority vote from the latent of least relative variance to the factor "
        "that was held (1802.05983); chance is 1/F. Dead latents are left out.",
    ),
    "modularity": Definition(
        *("modularity", "number", "factors", "does a latent tell of one factor?"),
        "1 less the squared informations on all factors but the top one, over (F − 1) times that "
        "of the top (1802.05312), less chance, over latents that tell of a factor.",
    ),
    "explicitness": Definition(
        *("explicitness", "number", "factors", "is a factor read off by a linear rule?"),
        "Mean over the factors' values of 2 AUC − 1 of a logistic regression on all latents, on "
        "points it did not learn (1802.05312 gives the AUC).",
    ),
    "infom": Definition(
        *("InfoM", "number", "factors", "modularity by shares of information"),
        "Top factor's share of a latent's normalised informations, 0 where all are equal "
        "(2305.18378), less chance, over latents that tell of a factor.",
    ),
    "infoc": Definition(
        *("InfoC", "number", "factors", "compactness: one latent for a factor"),
        "Top latent's share of the informations on a factor, 0 where all are equal (2305.18378).",
    ),
    "infoe": Definition(
        *("InfoE", "number", "factors", "share of a factor that a linear rule tells"),
        "1 less the held-out loss of a logistic regression on all latents over that of none "
        "(2305.18378); below 0 where it misleads.",
    ),
}
