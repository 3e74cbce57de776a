"""Documents for the demo checkpoint, extracted from the source of the Python standard library.

Invariants:
- A document is one function, or one short class, dedented. It is complete, so that a model trained on it
  learns to stop.
- Files with a copyright notice of their own are left out: what remains is under the PSF licence alone.
- A module and its tests are in the same split, chosen by a digest of the module's name: held-out text comes
  from modules that were never trained on. Equal documents appear once.
"""

import ast
import hashlib
import re
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OWN_COPYRIGHT = re.compile(r"copyright", re.IGNORECASE)
MIN_CHARACTERS = 80
SHORT_CLASS_CHARACTERS = 1200
SPLITS = {
    "heldout": range(14),
    "validation": range(14, 17),
    "train": range(17, 100),
}  # percentiles of the digest

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Document:
    """One function or class; `name` says where it comes from: `json/decoder.py:69:py_scanstring`."""

    name: str
    split: str
    text: str


def read_documents(stdlib: Path | None = None) -> tuple[Document, ...]:
    """Return all documents of the library at `stdlib` (default: this interpreter's), in a fixed order."""
    root = stdlib or Path(sysconfig.get_paths()["stdlib"])
    seen: set[str] = set()
    documents = []
    for file in sorted(root.rglob("*.py")):
        for document in _documents_of(root, file):
            if document.text not in seen:
                seen.add(document.text)
                documents.append(document)
    return tuple(documents)


def module_of(path: Path) -> str:
    """Return a file's module: `json` for both `json/decoder.py` and `test/test_json/test_float.py`."""
    parts = path.with_suffix("").parts
    if parts[0] in {"test", "idlelib", "unittest"} and len(parts) > 1:
        parts = parts[1:]
    return parts[0].removeprefix("_").removeprefix("test_")


def split_of(module: str) -> str:
    """Return the split of a module: 14 % held out, 3 % for choosing the best step, the rest for training."""
    percentile = int(hashlib.sha256(module.encode()).hexdigest(), 16) % 100
    return next(name for name, percentiles in SPLITS.items() if percentile in percentiles)


def _documents_of(root: Path, file: Path) -> Iterator[Document]:
    path = file.relative_to(root)
    if {"site-packages", "dist-packages", "lib2to3"} & set(path.parts):
        return
    source = file.read_bytes().decode("utf-8", errors="replace")
    if OWN_COPYRIGHT.search(source) or "\ufffd" in source:
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # the library ships a few broken files for its own tests
        return
    split = split_of(module_of(path))
    lines = source.splitlines(keepends=True)
    for node in _definitions(tree.body, lines):
        text = _text_of(node, lines)
        if len(text) >= MIN_CHARACTERS:
            yield Document(f"{path.as_posix()}:{node.lineno}:{node.name}", split, text)


def _definitions(body: list[ast.stmt], lines: list[str]) -> Iterator[Definition]:
    """Yield functions and short classes, and the methods of long classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            if len(_text_of(node, lines)) <= SHORT_CLASS_CHARACTERS:
                yield node
            else:
                yield from _definitions(node.body, lines)


def _text_of(node: Definition, lines: list[str]) -> str:
    return textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno])).strip() + "\n"
