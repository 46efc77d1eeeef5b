"""Queries on molecules: substructures and pharmacophores."""
