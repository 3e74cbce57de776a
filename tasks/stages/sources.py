"""What a spec means now: the commit of its checkpoint, and the location of its texts."""

from functools import cached_property
from pathlib import Path

from engine_specs.spec import RowSource, Spec
from tasks.hub import HubAccess, Location, Repository, Resolved, locate, resolve_revision


class Sources:
    """Everything outside the store that a spec refers to; once resolved, it stays the same for the run.

    Args:
        spec: the spec.
        access: the Hub; it is asked only for what the spec tracks.
    """

    def __init__(self, spec: Spec, access: HubAccess) -> None:
        self._spec = spec
        self.access = access
        self._locations: dict[RowSource, Location] = {}

    @cached_property
    def checkpoint(self) -> Resolved:
        """The commit of the checkpoint, and how it was chosen.

        Raises:
            tasks.errors.RevisionNotPinned, CheckpointUnavailable, HubUnreachable.
        """
        asked = self._spec.checkpoint
        repo = Repository(kind="model", id=asked.repo)
        return resolve_revision(repo, asked.revision, track=asked.track, access=self.access)

    def location(self, source: RowSource) -> Location:
        """Return the location of rows.

        Raises:
            tasks.errors.TextsInvalid, CheckpointUnavailable, HubUnreachable.
        """
        if source not in self._locations:
            self._locations[source] = locate(source, base_dir=spec_dir(self._spec), access=self.access)
        return self._locations[source]


def spec_dir(spec: Spec) -> Path:
    """Return the directory that paths in a spec are relative to: its own, or the working directory."""
    return spec.path.parent if spec.path else Path.cwd()
