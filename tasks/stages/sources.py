"""Which bytes a spec means today: the commit of its checkpoint, the location of its texts."""

from pathlib import Path

from artifacts.frozen import Frozen
from engine_specs.spec import ResolvedVariant, Spec
from tasks.hub import HubAccess, Location, Repository, Resolved, locate, resolve_revision


class Sources(Frozen):
    """Everything outside the store that a spec refers to, pinned."""

    checkpoint: Resolved
    heldout: Location


def resolve_sources(spec: Spec, access: HubAccess) -> Sources:
    """Pin the checkpoint and the held-out texts; asks the Hub only for what the spec tracks.

    Raises:
        tasks.errors.RevisionNotPinned, CheckpointUnavailable, HubUnreachable, TextsInvalid.
    """
    return Sources(checkpoint=checkpoint_commit(spec, access), heldout=heldout_location(spec, access))


def checkpoint_commit(spec: Spec, access: HubAccess) -> Resolved:
    """The commit of the checkpoint; asks the Hub only where the spec tracks a branch or tag."""
    repo = Repository(kind="model", id=spec.checkpoint.repo)
    return resolve_revision(repo, spec.checkpoint.revision, track=spec.checkpoint.track, access=access)


def heldout_location(spec: Spec, access: HubAccess) -> Location:
    """Where the held-out texts are."""
    return locate(spec.validation.accuracy, base_dir=beside(spec), access=access)


def calibration_location(spec: Spec, variant: ResolvedVariant, access: HubAccess) -> Location | None:
    """Where a variant's calibration texts are; None where its recipe needs none."""
    source = variant.quantization.calibration
    return locate(source, base_dir=beside(spec), access=access) if source else None


def beside(spec: Spec) -> Path:
    """Directory that the paths in a spec are relative to: its own, or the working directory."""
    return spec.path.parent if spec.path else Path.cwd()
