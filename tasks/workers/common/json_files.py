"""JSON objects of a checkpoint or an engine: read with a refusal that names the file, and written."""

import json
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
