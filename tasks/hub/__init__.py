"""The Hugging Face Hub: checkpoints by commit, and texts by split and seed.

Promises:
- What is downloaded matches the digest that the Hub declares, or nothing is kept.
- Nothing outside this folder knows huggingface_hub.
"""

from tasks.hub.access import HubAccess
from tasks.hub.checkpoint import CheckpointFacts, read_small
from tasks.hub.client import Repository, Resolved, resolve_revision
from tasks.hub.overlap import refuse_asked, refuse_overlap
from tasks.hub.rows import REPORT_FILE, Location, TextsReport, locate
from tasks.hub.selection import CONFIG_FILE
from tasks.hub.task_items import ITEMS_FILE, TaskItem, parse_items
from tasks.hub.texts import TEXTS_FILE, parse_texts

__all__ = [
    "CONFIG_FILE",
    "ITEMS_FILE",
    "REPORT_FILE",
    "TEXTS_FILE",
    "CheckpointFacts",
    "HubAccess",
    "Location",
    "Repository",
    "Resolved",
    "TaskItem",
    "TextsReport",
    "locate",
    "parse_items",
    "parse_texts",
    "read_small",
    "refuse_asked",
    "refuse_overlap",
    "resolve_revision",
]
