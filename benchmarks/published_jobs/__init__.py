"""Published likelihoods, trained and measured again as they were."""
