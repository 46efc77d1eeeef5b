"""Vocabulary, generative models and the samplers that draw molecules from them."""
