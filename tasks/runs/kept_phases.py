"""Phases of a measurement that were finished before its run was ended, kept on this host until it is done.

Invariants:
- Files lie under the measurement's key: another protocol, toolchain, host class or placement finds none.
- A file has its name only when it is complete. What cannot be read (another version wrote it) is made again.
- They are removed once the measurement is in the store, and unused once they are as old as a measurement may
  be.
"""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from artifacts.progress import Say
from artifacts.settings import Settings

PhaseT = TypeVar("PhaseT", bound=BaseModel)
SECONDS_PER_HOUR = 3600.0


class KeptPhases:
    """What the phases of one measurement left, by name.

    Args:
        directory: where it is kept; made when it is needed.
        say: takes lines of progress.
    """

    def __init__(self, directory: Path, *, say: Say) -> None:
        self._directory = directory
        self._say = say

    @classmethod
    def of(cls, settings: Settings, key: str, *, say: Say, force: bool) -> "KeptPhases":
        """Return the phases kept under a measurement's key; none that are too old, and none if forced."""
        root = settings.home / "phases"
        kept = cls(root / key, say=say)
        oldest = time.time() - settings.measurement_max_age_hours * SECONDS_PER_HOUR
        for path in root.iterdir() if root.is_dir() else ():
            with suppress(FileNotFoundError):  # another run has just removed it
                if path.stat().st_mtime < oldest or (force and path.name == key):
                    shutil.rmtree(path, ignore_errors=True)
        return kept

    def once(self, name: str, model: type[PhaseT], make: Callable[[], PhaseT]) -> PhaseT:
        """Return what an earlier run kept under this name, or make it and keep it."""
        path = self._path(name, "json")
        if path.is_file():
            try:
                found = model.model_validate_json(path.read_bytes())
            except ValidationError:
                self._say(f"phase {name}: what an earlier run kept is unreadable, so it is made again")
            else:
                self._say(f"phase {name}: reused from an earlier run")
                return found
        made = make()
        self._write(path, made.model_dump_json())
        return made

    def append(self, name: str, record: BaseModel) -> None:
        """Add a record to those kept under this name."""
        path = self._path(name, "list.json")
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        self._write(path, json.dumps([*before, record.model_dump(mode="json")]))

    def appended(self, name: str, model: type[PhaseT]) -> tuple[PhaseT, ...]:
        """Return the records kept under this name, in their order; none that cannot be read."""
        path = self._path(name, "list.json")
        if not path.is_file():
            return ()
        try:
            return tuple(model.model_validate(one) for one in json.loads(path.read_bytes()))
        except ValidationError:
            path.unlink()
            return ()

    def remove(self) -> None:
        """Remove everything that is kept."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _path(self, name: str, suffix: str) -> Path:
        safe = "".join(character if character.isalnum() else "-" for character in name)
        return self._directory / f"{safe}.{suffix}"

    def _write(self, path: Path, text: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
