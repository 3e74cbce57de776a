"""Reading YAML into frozen models: positions, merging, names, and problems that say what would be accepted.

Promises: every problem of a file is reported at once, each with its line; nothing here knows a spec's fields.
"""

from engine_specs.reading.data_files import (
    CONFIG_DEFAULTS_FILE,
    KINDS_DIR,
    LLM_ARGS_DIR,
    MEMORY_FILE,
    MODEL_FILES_FILE,
    PACKAGE,
    RECIPES_FILE,
    REFERENCES_FILE,
    TARGETS_FILE,
    read_data,
    refuse_duplicates,
)
from engine_specs.reading.errors import PreflightRefused, Problem, SpecInvalid, SpecNotFound
from engine_specs.reading.frozen import StrictFrozen
from engine_specs.reading.merge import Data, merged, origin
from engine_specs.reading.names import (
    RESERVED_VARIANTS,
    SHA256_PATTERN,
    ChannelName,
    RecipePath,
    Repo,
    Revision,
    RowsPath,
    Slug,
    Version,
    is_commit,
    is_reserved,
    one_of,
    suggestion,
)
from engine_specs.reading.partial import partial_of
from engine_specs.reading.pydantic_errors import explain, shown
from engine_specs.reading.yaml_tree import Document, Loc, dotted, parse

__all__ = [
    "CONFIG_DEFAULTS_FILE",
    "KINDS_DIR",
    "LLM_ARGS_DIR",
    "MEMORY_FILE",
    "MODEL_FILES_FILE",
    "PACKAGE",
    "RECIPES_FILE",
    "REFERENCES_FILE",
    "RESERVED_VARIANTS",
    "SHA256_PATTERN",
    "TARGETS_FILE",
    "ChannelName",
    "Data",
    "Document",
    "Loc",
    "PreflightRefused",
    "Problem",
    "RecipePath",
    "Repo",
    "Revision",
    "RowsPath",
    "Slug",
    "SpecInvalid",
    "SpecNotFound",
    "StrictFrozen",
    "Version",
    "dotted",
    "explain",
    "is_commit",
    "is_reserved",
    "merged",
    "one_of",
    "origin",
    "parse",
    "partial_of",
    "read_data",
    "refuse_duplicates",
    "shown",
    "suggestion",
]
