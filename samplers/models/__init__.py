"""The generative models, one a file, behind one protocol."""
