"""The generative models, one a file, behind one protocol, and the decoding loop that all of them share."""
