"""Fingerprints: what a stage's result depends on, as a document, and the digest of that document.

Invariants:
- Two documents with equal digests describe work whose results are interchangeable.
- A document holds no paths, times, host names or process ids, and inputs as tree digests only.
- The document is kept next to the result, so that a miss can be explained field by field.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from artifacts.canonical import digest_of
from tasks.workers.common.sources import Source

Document = dict[str, Any]


def build_document(
    *,
    stage: str,
    sources: Iterable[Source],
    toolchain: str | None,
    request: Mapping[str, Any],
) -> Document:
    """Describe one stage call.

    Args:
        stage: name of the stage.
        sources: files whose text decides what the stage does; `closure` finds those of a worker.
        toolchain: identity of the toolchain that runs it; None if the stage runs in this process.
        request: parameters and digests of input trees; JSON values only.
    """
    return {
        "stage": stage,
        "worker": sources_digest(sources),
        "toolchain": toolchain,
        "platform": platform_class(),
        "request": dict(request),
    }


def fingerprint_of(document: Document) -> str:
    """Return the digest of a document: SHA-256 of its canonical JSON, in 64 hexadecimal digits."""
    return digest_of(document)


def platform_class() -> str:
    """Return what a result may depend on of the platform, such as `Linux-x86_64`."""
    return f"{platform.system()}-{platform.machine()}"


def sources_digest(sources: Iterable[Source]) -> str:
    """Return the digest of names and contents of source files; names are relative to the import directory."""
    return digest_of(sorted([one.name, one.sha256] for one in sources))


def source_of(module: ModuleType) -> Source:
    """Return the source file of a module of this process, for a stage that runs in it."""
    return Source(f"{module.__name__.replace('.', '/')}.py", Path(str(module.__file__)).read_bytes())


def explain_difference(before: Document, after: Document) -> tuple[str, ...]:
    """List the fields that differ between two documents, such as `request.params.seed: 0 -> 1`."""
    old, new = dict(_flatten("", before)), dict(_flatten("", after))
    changes = []
    for field in sorted(old.keys() | new.keys()):
        if field not in old:
            changes.append(f"{field}: new, {_short(new[field])}")
        elif field not in new:
            changes.append(f"{field}: {_short(old[field])} -> gone")
        elif old[field] != new[field]:
            changes.append(f"{field}: {_short(old[field])} -> {_short(new[field])}")
    return tuple(changes)


def _flatten(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value


def _short(value: object) -> str:
    text = str(value)
    is_digest = len(text) == 64 and all(character in "0123456789abcdef" for character in text)
    return text[:12] if is_digest else text[:80]
