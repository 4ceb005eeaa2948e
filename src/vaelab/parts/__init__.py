"""Parts of models: priors, posteriors, likelihoods, codebooks, flows and levels of hierarchies."""
