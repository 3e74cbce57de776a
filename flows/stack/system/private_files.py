"""Files that only their owner can read: credentials and keys of the local stack."""

import hashlib
import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Replace a file atomically, even if the power fails; at no moment can another user read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    staged.replace(path)


def fingerprint(content: str) -> str:
    """Return a short digest that identifies a secret without revealing it."""
    return hashlib.sha256(content.encode()).hexdigest()[:16]
