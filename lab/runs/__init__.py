"""A run of a lab: its samplers, how far it has come, what it is given, and its results."""
