"""How similar molecules are: fingerprints, neighbours, diversity and buckets."""
