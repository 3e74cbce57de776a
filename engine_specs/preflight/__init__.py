"""Pre-flight: whether a variant can work, by its checkpoint's metadata alone.

Promises: pure; a refusal names the field, the arithmetic or table row behind it, and what would be accepted.
"""

from engine_specs.preflight.build_host import DiskEstimate
from engine_specs.preflight.checkpoint import (
    CONTENT_FILE,
    TEMPLATE_FILE,
    TOKENIZER_FILE,
    DraftCheckpoint,
    content_digest,
    needs_content,
    outline,
    prompt_facts,
)
from engine_specs.preflight.examination import Examination, examine, examine_unknown
from engine_specs.preflight.known_checkpoints import VendoredCheckpoint, vendored_checkpoint
from engine_specs.preflight.memory import MemoryEstimate, MemoryLine
from engine_specs.preflight.model_facts import StoredWeights
from engine_specs.preflight.quantized_checkpoint import (
    SIDECARS,
    ReadyMade,
    SmallFiles,
    recognise,
    stored_weights,
)
from engine_specs.preflight.sharing import ServedMemory, estimate_served, estimate_sharing

__all__ = [
    "CONTENT_FILE",
    "SIDECARS",
    "TEMPLATE_FILE",
    "TOKENIZER_FILE",
    "DiskEstimate",
    "DraftCheckpoint",
    "Examination",
    "MemoryEstimate",
    "MemoryLine",
    "ReadyMade",
    "ServedMemory",
    "SmallFiles",
    "StoredWeights",
    "VendoredCheckpoint",
    "content_digest",
    "estimate_served",
    "estimate_sharing",
    "examine",
    "examine_unknown",
    "needs_content",
    "outline",
    "prompt_facts",
    "recognise",
    "stored_weights",
    "vendored_checkpoint",
]
