"""From a draw to a build: standardise, filter, screen for duplicates, score, count, and redraw what was rejected."""
