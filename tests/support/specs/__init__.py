"""Texts of specs, and variants as specs resolve to them."""
