"""Latent vectors: the latent priors they are drawn from, given vectors, their versions and their decoding."""
