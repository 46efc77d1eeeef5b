"""A policy: a generative model with its vocabulary, its files and hash, and those of REINVENT 4."""
