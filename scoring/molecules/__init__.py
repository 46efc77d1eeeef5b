"""One molecule: parsing, standardisation, properties, fingerprints, scaffolds, and its likeness to others."""
