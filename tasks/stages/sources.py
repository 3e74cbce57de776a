"""Which bytes a spec means today: the commit of its checkpoint, the location of its texts."""

from pathlib import Path

from artifacts.frozen import Frozen
from engine_specs.models import Spec
from engine_specs.resolve import ResolvedVariant
from tasks.datasets import Location, locate
from tasks.hub import Repository, Resolved, resolve_revision
from tasks.hub_access import HubAccess


class Sources(Frozen):
    """Everything outside the store that a spec refers to, pinned."""

    checkpoint: Resolved
    heldout: Location


def resolve_sources(spec: Spec, access: HubAccess) -> Sources:
    """Pin the checkpoint and the held-out texts; asks the Hub only for what the spec tracks.

    Raises:
        tasks.errors.RevisionNotPinned, CheckpointUnavailable, HubUnreachable, TextsInvalid.
    """
    repo = Repository(kind="model", id=spec.checkpoint.repo)
    commit = resolve_revision(repo, spec.checkpoint.revision, track=spec.checkpoint.track, access=access)
    heldout = locate(spec.validation.accuracy, base_dir=_beside(spec), access=access)
    return Sources(checkpoint=commit, heldout=heldout)


def calibration_location(spec: Spec, variant: ResolvedVariant, access: HubAccess) -> Location | None:
    """Where a variant's calibration texts are; None where its recipe needs none."""
    source = variant.quantization.calibration
    return locate(source, base_dir=_beside(spec), access=access) if source else None


def _beside(spec: Spec) -> Path:
    return spec.path.parent if spec.path else Path.cwd()
