"""The graph genetic algorithm: crossover and mutation of molecular graphs."""
