"""Causal language models of Hugging Face, from local folders: their check, their conversion to policies, the model."""
