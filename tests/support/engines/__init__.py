"""Engines for tests: directories that pass for one, real ones of small models, fakes, and damage to them."""
