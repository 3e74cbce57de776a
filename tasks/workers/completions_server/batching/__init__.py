"""Sequences in the rows of an engine: who computes when, and what came of it so far.

`Batcher` gives rows to requests and takes them back between iterations. `Metrics` counts what it did, under
vLLM's names.
"""

from tasks.workers.completions_server.batching.batch import Batcher, Event, Failed, Sequence
from tasks.workers.completions_server.batching.metrics import Metrics

__all__ = ["Batcher", "Event", "Failed", "Metrics", "Sequence"]
