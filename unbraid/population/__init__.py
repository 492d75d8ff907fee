"""Populations of runs: hyper-parameters found while training, by exploit and explore."""
