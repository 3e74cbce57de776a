"""What all stages of one run share: settings, the store, switches, and where progress is reported."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifacts.progress import Say
from artifacts.settings import Settings
from artifacts.store import Store
from tasks.runs.scratch import own_directory


class Pipeline:
    """Settings, store and switches of one run.

    A plain class on purpose: Prefect traverses dataclasses and pydantic models that are passed to a task, and
    may rebuild them; an open store must be passed as it is.

    Args:
        settings: resolved settings.
        store: where trees, actions and releases are kept.
        say: takes lines of progress: the flow's logger, or stderr.
        force: run every stage again, even if the store holds its result.
        require_cached: fail instead of running a stage.
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
        """Make a directory for one stage and remove it afterwards; remove what killed runs left behind."""
        root = self.settings.home / "work"
        with own_directory(root, label=f"{label}-") as path:
            yield path

    def log_file(self, label: str) -> Path:
        """Return the path of the file that keeps the output of one worker after the run."""
        path = self.settings.home / "logs" / f"{label}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
