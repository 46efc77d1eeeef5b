"""Batches that mix live rows with rows of the buffer, by the shares of the samplers."""
