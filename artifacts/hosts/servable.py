"""Whether this host may serve a tree: decided before a server starts, as tools report it late or never.

Invariants:
- The tool itself is not asked: the host's facts, `engine.json` and the toolchain's versions decide.
- A tree without `engine.json` is a checkpoint, which any host of its variant can serve.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import ValidationError

from artifacts.errors import CannotServe, IntegrityError
from artifacts.hosts.engine import ENGINE_FILE, EngineManifest, HostRequirements
from artifacts.hosts.host_match import HostFacts, Refused, fits
from artifacts.hosts.tuning import differences, loading_of
from artifacts.store import REINSTALL

# Tools whose engines load only in the version that built them, by the names of their distributions.
BOUND_TOOLS = ("tensorrt", "tensorrt-llm", "torch")


def refuse_host(requires: HostRequirements, facts: HostFacts, where: str) -> None:
    """Raise CannotServe unless a host meets the requirements."""
    answer = fits(requires, facts)
    if isinstance(answer, Refused):
        raise CannotServe(
            f"this host cannot serve it: {answer.reason}",
            where=where,
            fix="pull on a host that has it, or pull here again: `enginery pull` picks a variant that fits",
        )


def refuse_unservable(tree: Path, facts: HostFacts, versions: Mapping[str, str]) -> None:
    """Raise unless a toolchain with these versions can serve this tree on this host.

    Raises:
        CannotServe: the GPU, the driver or a tool that the engine is bound to differs, or its tuning cache
            was measured elsewhere; all reasons are listed.
        IntegrityError: `engine.json` cannot be read.
    """
    manifest = read_engine(tree)
    if manifest is None:
        return
    refuse_host(manifest.requires, facts, str(tree))
    if reasons := [*_other_tools(manifest, versions), *_other_tuning(manifest, tree, facts, versions)]:
        raise CannotServe(
            "this engine cannot be served with what is installed here:",
            where="\n    ".join([str(tree), *reasons]),
            fix=f"use the release of enginery that built it, whose {manifest.serve.toolchain} has these "
            "versions; or build the variant again on this GPU",
        )


def read_engine(tree: Path) -> EngineManifest | None:
    """Return the manifest of an engine tree, or None for a checkpoint; raises IntegrityError if invalid."""
    path = tree / ENGINE_FILE
    if not path.exists():
        return None
    try:
        return EngineManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise IntegrityError(f"{ENGINE_FILE} cannot be read", where=str(path), fix=REINSTALL) from error


def _other_tools(manifest: EngineManifest, versions: Mapping[str, str]) -> Iterator[str]:
    for name, built_with in manifest.tools.items():
        found = versions.get(canonicalize_name(name))
        if canonicalize_name(name) in BOUND_TOOLS and found and not _same(built_with, found):
            yield f"built with {name} {built_with}, the toolchain has {found}"


def _same(one: str, other: str) -> bool:
    """Whether two spellings mean one version: some tools omit what their distribution appends."""
    try:
        a, b = Version(one), Version(other)
    except InvalidVersion:
        return one == other
    length = min(len(a.release), len(b.release))
    return a.release[:length] == b.release[:length] and a.pre == b.pre


def _other_tuning(
    manifest: EngineManifest, tree: Path, facts: HostFacts, versions: Mapping[str, str]
) -> Iterator[str]:
    if manifest.tuning:
        for difference in differences(manifest.tuning, loading_of(manifest, tree, facts, versions)):
            yield f"tuning cache {manifest.tuning.path}, {difference}"
