"""Sequences in the rows of an engine: who computes when, and what came of it so far.

`Batcher` gives rows to requests and takes them back between iterations. `Metrics` counts what it did, under
vLLM's names.
"""
