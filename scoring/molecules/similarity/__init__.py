"""Similarity of molecules: fingerprints, neighbours, diversity and buckets."""
