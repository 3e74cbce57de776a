"""Intervals that keep their confidence for what is measured here: speed ratios, regrets, lengths. Pure.

scipy and numpy are imported where they calculate: whoever reads a result pays for neither.
"""
