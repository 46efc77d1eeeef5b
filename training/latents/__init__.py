"""Training of latent priors and of given latent vectors, from live and replayed rows."""
