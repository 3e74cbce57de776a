"""An engine that is kept between sessions, for tests of something else than compiling: that takes fifteen
seconds of a processor.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from artifacts.canonical import digest_of
from artifacts.settings import Settings


def copy_kept(identity: dict[str, Any], build: Callable[[Path], object], tree: Path) -> None:
    """Copy the engine of that identity to `tree`; it is built where it is absent, and replaces any other.

    Args:
        identity: of all that the engine is made of, as JSON.
        build: makes it in a directory, which it creates.
        tree: does not exist yet.
    """
    folder = Settings().toolchains_dir / ".tests"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"engine-{digest_of(identity)}"
    with FileLock(folder / "engine.lock"):
        if not kept.exists():
            for other in folder.glob("engine-*"):
                shutil.rmtree(other)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                build(Path(scratch) / "engine")
                (Path(scratch) / "engine").replace(kept)
        shutil.copytree(kept, tree)
