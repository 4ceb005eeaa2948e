"""What a model is composed of: priors, posteriors, likelihoods and the levels of a hierarchy."""
