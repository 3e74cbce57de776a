"""Intervals that keep their confidence for what is measured here: speed ratios, regrets, lengths. Pure."""
