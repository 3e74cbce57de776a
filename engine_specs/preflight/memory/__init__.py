"""How much memory one device needs for a variant: an upper estimate, with arithmetic that a person can check.

Promises:
- Every line says how its bytes come about; the total is their sum, and nothing else is in it.
- A size that only a stage's output determines is an upper limit here, and names that stage.
"""

from engine_specs.preflight.memory.estimate import estimate_memory
from engine_specs.preflight.memory.plain import unquantized
from engine_specs.preflight.memory.records import QUANTIZE, MemoryEstimate, MemoryLine, load_memory_rules
from engine_specs.preflight.memory.weights import linear_bits, quantized_parameters, tables
from engine_specs.preflight.memory.working_set import kv_bits

__all__ = [
    "QUANTIZE",
    "MemoryEstimate",
    "MemoryLine",
    "estimate_memory",
    "kv_bits",
    "linear_bits",
    "load_memory_rules",
    "quantized_parameters",
    "tables",
    "unquantized",
]
