"""Quantized checkpoints: what says that weights are quantized, in which format, and whether a kind loads it.

Promises:
- `plain` refuses a checkpoint of a spec that is quantized already; `ready_made` takes one as a variant's
  source, if its own files say a format that kind and GPU load, and the model is the spec's.
- Pure: it judges small files, names, types and sizes, which are passed in.
"""

from engine_specs.preflight.quantized_checkpoint.formats import recognise
from engine_specs.preflight.quantized_checkpoint.plain import (
    NOTHING_MORE,
    SIDECARS,
    SmallFiles,
    quantized_problems,
    size_problems,
    tensor_problems,
)
from engine_specs.preflight.quantized_checkpoint.ready_made import (
    ReadyMade,
    ready_made_problems,
    stored_weights,
)

__all__ = [
    "NOTHING_MORE",
    "SIDECARS",
    "ReadyMade",
    "SmallFiles",
    "quantized_problems",
    "ready_made_problems",
    "recognise",
    "size_problems",
    "stored_weights",
    "tensor_problems",
]
