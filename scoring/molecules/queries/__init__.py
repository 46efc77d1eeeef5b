"""What is looked for in a molecule: substructures, and pharmacophores."""
