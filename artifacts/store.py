"""The store: trees, actions and measurements in one S3 bucket."""

from collections.abc import Callable
from pathlib import Path

from artifacts.actions import Action
from artifacts.measurements import Measurement
from artifacts.settings import Settings
from artifacts.trees import Listing

ByteCount = Callable[[int], None]


class Store:
    """The one place that trees, actions, measurements, releases and channels are kept in."""

    def ensure_bucket(self) -> None:
        """Make the bucket where there is none."""
        raise NotImplementedError

    def put_tree(self, root: Path, on_bytes: ByteCount = lambda _count: None) -> Listing:
        """Upload a directory as a tree: the blobs that are missing, then the listing."""
        raise NotImplementedError

    def get_listing(self, digest: str) -> Listing:
        """The listing of a tree; raises NotFound."""
        raise NotImplementedError

    def has_tree(self, digest: str) -> bool:
        """Whether the tree is complete in the store."""
        raise NotImplementedError

    def materialize(self, digest: str, dest: Path, *, writable: bool = False) -> Listing:
        """Make a directory that is exactly the tree, through the local cache; atomic and verified."""
        raise NotImplementedError

    def read_action(self, stage: str, fingerprint: str) -> Action | None:
        """The action of that fingerprint, if there is one."""
        raise NotImplementedError

    def write_action(self, action: Action) -> Action:
        """Write an action once; returns the winner's where another was first."""
        raise NotImplementedError

    def remember_action(self, spec: str, variant: str, action: Action) -> None:
        """Note which action a (spec, variant, stage) used last; call it for hits too."""
        raise NotImplementedError

    def last_action(self, spec: str, variant: str, stage: str) -> Action | None:
        """The action that a (spec, variant, stage) used last, to explain a miss against."""
        raise NotImplementedError

    def append_measurement(self, key: str, measurement: Measurement) -> None:
        """Add a measurement under its key."""
        raise NotImplementedError

    def measurements(self, key: str) -> tuple[Measurement, ...]:
        """All measurements of a key, oldest first."""
        raise NotImplementedError


def open_store(settings: Settings) -> Store:
    """The store that the settings and the standard AWS variables name; asks the server nothing yet."""
    raise NotImplementedError
