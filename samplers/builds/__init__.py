"""Builds of samplers: draw, standardise, filter, reject duplicates, score, and draw again for rejected rows."""
