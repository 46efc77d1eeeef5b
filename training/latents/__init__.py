"""Training of latent priors and of given latent vectors, live and from replayed rows."""
