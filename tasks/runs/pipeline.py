"""What every stage of one run shares: settings, the store, switches, and where lines of progress go."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifacts.progress import Say
from artifacts.settings import Settings
from artifacts.store import Store
from tasks.runs.scratch import own_directory


class Pipeline:
    """The surroundings of one run.

    A plain class on purpose: Prefect walks into dataclasses and pydantic models that are passed to a task
    and may rebuild them, and an open store must be passed as it is.

    Args:
        settings: resolved settings.
        store: where trees, actions and releases are kept.
        say: takes one line of progress; the flow's logger, or stderr.
        force: run every stage again, whatever the store holds.
        require_cached: refuse to run a stage instead of running it.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        say: Say,
        force: bool = False,
        require_cached: bool = False,
    ) -> None:
        self.settings = settings
        self.store = store
        self.say = say
        self.force = force
        self.require_cached = require_cached

    @contextmanager
    def work_dir(self, label: str) -> Iterator[Path]:
        """A directory for one stage, gone afterwards; leftovers of killed runs are removed on the way in."""
        root = self.settings.home / "work"
        with own_directory(root, label=f"{label}-") as path:
            yield path

    def log_file(self, label: str) -> Path:
        """Where the output of one worker is kept after the run."""
        path = self.settings.home / "logs" / f"{label}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
