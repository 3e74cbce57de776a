"""JSON objects of a checkpoint or an engine: read with a refusal that names the file, and written.

Standard library only; so is the YAML that tools read, whose scalars are those of JSON.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.workers.common.io import Refusal

FIX = "fetch or quantize the checkpoint again"


def read_json(path: Path, fix: str = FIX) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        Refusal: there is no such file, or it holds anything else; `fix` is what the user can do.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        what = f"there is no {path.name}" if absent else f"{path.name} cannot be read: {error.strerror}"
        raise Refusal("input", what, str(path), fix) from None
    except ValueError as error:  # of UTF-8 or of JSON
        raise Refusal("input", f"{path.name} is not JSON ({error})", str(path), fix) from None
    if not isinstance(content, dict):
        raise Refusal("input", f"{path.name} is not a JSON object", str(path), fix)
    return content


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON object."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def write_yaml(path: Path, document: Mapping[str, Any]) -> str:
    """Write a mapping as YAML with sorted keys; returns the digest of the file."""
    text = "".join(f"{line}\n" for line in yaml_lines(document))
    path.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def yaml_lines(document: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Lines of block-style YAML; scalars are written as JSON, which YAML reads as the same values."""
    for name in sorted(document):
        value = document[name]
        key = name if name.isidentifier() else json.dumps(name)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{key}:"
            yield from yaml_lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {json.dumps(value, allow_nan=False)}"
