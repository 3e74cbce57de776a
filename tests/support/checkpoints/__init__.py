"""Checkpoints that tests write: the shape of real ones with random weights, damage to them, and exports."""
