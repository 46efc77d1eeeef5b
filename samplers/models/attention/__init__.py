"""The blocks of transformers, and stacks of them."""
