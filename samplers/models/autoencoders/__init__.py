"""Variational autoencoders: models with a latent space, and its distributions."""
