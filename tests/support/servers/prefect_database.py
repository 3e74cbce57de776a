"""A Prefect database that was migrated before: a new one takes a server fifteen seconds.

The stack's own tests start without it, as users do.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from filelock import FileLock

from artifacts.settings import Settings
from flows.stack.components.prefect_server import NO_TELEMETRY
from flows.stack.system.state import StackPaths

FILE = "prefect.db"
LIMIT_S = 120


def seed_database(home: Path) -> None:
    """Give the stack below `home` a migrated database."""
    folder = StackPaths.below(home).prefect_home
    folder.mkdir(parents=True)
    shutil.copyfile(_migrated(), folder / FILE)


@contextmanager
def prefect_harness(folder: Path) -> Iterator[None]:
    """Prefect's own harness for flows in this process, its database in `folder`."""
    # Takes seconds, which only the process that needs it should spend.
    from prefect.testing import utilities

    shutil.copyfile(_migrated(), folder / "prefect-test.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: str(folder))
        # Its own limit is 30 s, which a busy host exceeds.
        with utilities.prefect_test_harness(server_startup_timeout=LIMIT_S):
            yield


def _migrated() -> Path:
    """The database of this version of Prefect, kept among the toolchains; made by Prefect where absent."""
    kept = Settings().toolchains_dir / ".tests" / f"prefect-{version('prefect')}.db"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
                command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
                env = os.environ | NO_TELEMETRY | {"PREFECT_HOME": folder}
                subprocess.run(command, env=env, check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL)
                (Path(folder) / FILE).replace(kept)
    return kept
