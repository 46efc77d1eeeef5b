"""Causal language models of Hugging Face in local folders: checks, conversion to policies, and the model class."""
