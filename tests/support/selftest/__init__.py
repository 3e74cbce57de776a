"""A fast engine behind the real completions server, next to a reference of the same model."""
