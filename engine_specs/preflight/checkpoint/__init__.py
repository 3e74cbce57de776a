"""Pre-flight of checkpoints by their small files: the spec's own, and the one that drafts tokens.

Promises: whatever a kind, its server or its tokenizer would refuse by these files is a problem here.
"""

from engine_specs.preflight.checkpoint.draft import DraftCheckpoint, draft_problems, drafting_facts
from engine_specs.preflight.checkpoint.files import checkpoint_problems, source_problems
from engine_specs.preflight.checkpoint.tokenizers import (
    CONTENT_FILE,
    TEMPLATE_FILE,
    TOKENIZER_FILE,
    content_digest,
    needs_content,
    outline,
    prompt_facts,
    source_template_problems,
    source_template_warnings,
    template_problems,
)

__all__ = [
    "CONTENT_FILE",
    "TEMPLATE_FILE",
    "TOKENIZER_FILE",
    "DraftCheckpoint",
    "checkpoint_problems",
    "content_digest",
    "draft_problems",
    "drafting_facts",
    "needs_content",
    "outline",
    "prompt_facts",
    "source_problems",
    "source_template_problems",
    "source_template_warnings",
    "template_problems",
]
