"""The kinds of text a spec is made of (slugs, pins, versions), and suggestions for misspelled ones.

A pattern here is what the JSON Schema shows; `PATTERN_HELP` is the same rule in words, for error messages.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

SLUG_PATTERN = r"^[a-z0-9]+([.-][a-z0-9]+)*$"
CHANNEL_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
VERSION_PATTERN = r"^(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})$"
REPO_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"
REVISION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$"
ROWS_PATTERN = r"^[^/\\].*\.(jsonl|jsonl\.gz|parquet)$"
RECIPE_FILE_PATTERN = r"^[^/\\].*\.ya?ml$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
COMMIT_LENGTH = 40
# Names and numbers that the records of an installed release need themselves (`artifacts.releases`).
RESERVED_VARIANTS = ("current", "lock", "partial", "release", "replaced")
RELEASE_VERSION = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}")

PATTERN_HELP = {
    SLUG_PATTERN: "lower-case letters and digits, joined by single dots or hyphens, such as llama-3.1-8b",
    CHANNEL_PATTERN: "lower-case letters and digits, joined by single hyphens, such as nightly",
    VERSION_PATTERN: '"major.minor", such as "1.4"',
    REPO_PATTERN: "a Hub repository, such as owner/name",
    REVISION_PATTERN: "a commit of 40 lower-case hexadecimal digits (or a branch or tag with track: true)",
    ROWS_PATTERN: "the path of a .jsonl, .jsonl.gz or .parquet file, relative to the spec",
    RECIPE_FILE_PATTERN: "the path of a .yaml file, relative to the spec",
    SHA256_PATTERN: "a SHA-256 digest: 64 lower-case hexadecimal digits (sha256sum FILE prints it)",
}

Slug = Annotated[str, Field(pattern=SLUG_PATTERN, max_length=80)]
ChannelName = Annotated[str, Field(pattern=CHANNEL_PATTERN, max_length=40)]
Version = Annotated[str, Field(pattern=VERSION_PATTERN)]
Repo = Annotated[str, Field(pattern=REPO_PATTERN, max_length=200)]
RowsPath = Annotated[str, Field(pattern=ROWS_PATTERN, max_length=400)]
RecipePath = Annotated[str, Field(pattern=RECIPE_FILE_PATTERN, max_length=400)]
Revision = Annotated[str, Field(pattern=REVISION_PATTERN, max_length=200)]


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit, which never moves, and not a branch or tag, which may."""
    return len(revision) == COMMIT_LENGTH and set(revision) <= set("0123456789abcdef")


def is_reserved(variant: str) -> bool:
    """Whether a host that installs the variant would confuse its name with its own records."""
    return variant in RESERVED_VARIANTS or RELEASE_VERSION.fullmatch(variant) is not None


def suggestion(found: object, known: Iterable[str]) -> str:
    """Return `did you mean X? ` for the nearest known name, or nothing if none is near.

    Names that begin with the whole word that was found are the nearest: `h100` is short for `h100-sxm`, and
    not a misspelt `h200`. All of them are named, because only the user knows which one is meant.
    """
    names = list(known)
    near = [name for name in names if name.startswith((f"{found}-", f"{found}_"))]
    near = near or difflib.get_close_matches(str(found), names, n=1, cutoff=0.6)
    return f"did you mean {' or '.join(near)}? " if near else ""


def one_of(what: str, names: Callable[[], Iterable[str]]) -> Any:
    """Make a string type that accepts only names from a table.

    Args:
        what: what the names stand for, in the singular (`target`); used in the error.
        names: reads the known names; called when a value is checked, not when the type is made.
    """

    def known(value: str) -> str:
        options = sorted(names())
        if value not in options:
            accepted = f"{suggestion(value, options)}known {what}s: {', '.join(options)}"
            raise PydanticCustomError("unknown_name", "{accepted}", {"accepted": accepted})
        return value

    def enumerate_in(schema: dict[str, Any]) -> None:
        schema["enum"] = sorted(names())

    return Annotated[str, AfterValidator(known), Field(json_schema_extra=enumerate_in)]
