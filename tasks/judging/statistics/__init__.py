"""Intervals that keep their confidence for what is measured here: speed ratios, regrets, lengths. Pure.

scipy and numpy are imported only inside functions that use them, so reading results does not load them.
"""
