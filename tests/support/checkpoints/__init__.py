"""Checkpoints that tests write: the shape of real ones with random weights, and damage to them."""
