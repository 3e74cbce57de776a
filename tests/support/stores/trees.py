"""Directories with random content."""

import random
from collections.abc import Collection, Mapping
from pathlib import Path


def random_tree(
    root: Path, sizes_bytes: Mapping[str, int], *, executable: Collection[str] = (), seed: int = 0
) -> Path:
    """Write files of the given sizes below root; the same arguments give the same bytes."""
    source = random.Random(seed)
    for path, size in sizes_bytes.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.randbytes(size))
        file.chmod(0o755 if path in executable else 0o644)
    return root
