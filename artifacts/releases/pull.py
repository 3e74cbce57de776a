"""Pulling a release onto a serving host.

Invariants:
- A directory appears under its final name only once it is complete, verified and recorded.
- A pull that is killed loses at most the chunks in flight: the next one finds the others by their digests.
- A version that this host has recorded stays what it was: if the store now says something else, the pull
  fails. What no pull made is never replaced.
- An installed directory is accepted as it is if names, sizes and executable bits match its record: reading
  gigabytes at every start of a server costs more than it finds; `verify_install` does that.
- Concurrent pulls of one version into one root wait for each other.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from pydantic import Field

from artifacts.canonical import Digest
from artifacts.disk import disk_errors, point_link, require_space, set_mode, sync, write_atomically
from artifacts.errors import IntegrityError, NotFound
from artifacts.frozen import Frozen
from artifacts.hosts import HostFacts, probe_host, refuse_stand_in
from artifacts.progress import OnProgress
from artifacts.releases.installs import (
    InstallPaths,
    InstallRecord,
    read_local,
    record_release,
    refuse_change,
    refuse_foreign,
    refuse_reserved,
)
from artifacts.releases.judged_on import judged_elsewhere
from artifacts.releases.references import resolve
from artifacts.releases.releases import Release
from artifacts.releases.selection import Choice, choose_variant
from artifacts.store import Listing, Progress, Store, compare, download


class PulledRelease(Frozen):
    """What a pull installed, or found installed."""

    release: Release = Field(description="The release.")
    variant: str = Field(description="Name of the variant.")
    directory: Path = Field(description="Where it is installed: exactly its tree.")
    tree: Digest = Field(description="The tree.")
    reason: str = Field(description="Why this variant.")
    judged_elsewhere: str = Field(
        description="How this host differs from that on which the variant was judged; empty if it does not."
    )
    downloaded_bytes: int = Field(ge=0, description="Bytes that this pull downloaded from the store.")
    already_installed: bool = Field(description="Whether it was there before.")


def pull_release(
    store: Store,
    reference: str,
    root: Path,
    variant: str | None = None,
    facts: HostFacts | None = None,
    on_progress: OnProgress | None = None,
) -> PulledRelease:
    """Install the variant of a release that fits this host at root/name/version/variant.

    Args:
        store: where releases are kept.
        reference: `name`, `name:channel`, `name@1.4` or `name@1.4.2`.
        root: directory of all installs; created if missing.
        variant: name of the variant; by default the most demanding one that fits.
        facts: what the host has; probed if not given.
        on_progress: called with the bytes in place and the total bytes, from several threads.

    Raises BadReference, NotFound, NothingFits, StandInRefused, InTheWay, IntegrityError, StoreUnreachable,
    LocalDiskError.
    """
    release, facts = resolve(store, reference).release, facts or probe_host()
    choice = choose_variant(release, facts, variant)
    refuse_reserved(release, choice.variant.name)
    paths = InstallPaths(root.resolve(), release.name, release.version, choice.variant.name)
    with disk_errors(root):
        refuse_foreign(paths)
        paths.records.mkdir(parents=True, exist_ok=True)
        with FileLock(paths.lock):
            refuse_foreign(paths)
            refuse_change(paths, release, choice.tree)
            found = is_installed(paths, choice.tree)
            downloaded_bytes = 0 if found else _install(store, release, choice, paths, on_progress)
            record_release(paths, release)
        # Once more: a download may take hours, in which somebody may have made a link of that name.
        refuse_foreign(paths)
        point_link(paths.current, paths.current_target)
    return PulledRelease(
        release=release,
        variant=choice.variant.name,
        directory=paths.directory,
        tree=choice.tree,
        reason=choice.reason,
        judged_elsewhere=judged_elsewhere(choice.variant.judged_on, choice.variant.requires, facts),
        downloaded_bytes=downloaded_bytes,
        already_installed=found,
    )


def is_installed(paths: InstallPaths, tree: str) -> bool:
    """Whether the directory holds that tree, with the names, sizes and modes that it should have."""
    try:
        record = read_local(paths.record, InstallRecord)
        return record.listing.digest == tree and not compare(paths.directory, record.listing)
    except (NotFound, IntegrityError):
        return False


def _install(
    store: Store,
    release: Release,
    choice: Choice,
    paths: InstallPaths,
    on_progress: OnProgress | None,
) -> int:
    """Download, verify, record and put in place; return the bytes downloaded."""
    refuse_stand_in(store, choice.tree, "installed")
    listing = store.get_listing(choice.tree)
    partial = paths.partial(listing.digest)
    for directory in {(partial / file.path).parent for file in listing.files} | {partial}:
        directory.mkdir(parents=True, exist_ok=True)
    require_space(partial, listing.total_bytes - _allocated_bytes(partial))
    wanted = [(file, partial / file.path) for file in listing.files]
    count = download(store.bucket, wanted, Progress(listing.total_bytes, on_progress))
    for file, path in wanted:
        set_mode(path, executable=file.executable)
        sync(path)
    if difference := compare(partial, listing):
        fix = "remove that directory and pull again"
        raise IntegrityError(
            f"the download is not what the release lists: {difference}", where=str(partial), fix=fix
        )
    _write_records(release, choice, listing, paths)
    _swap_in(partial, paths)
    return count


def _write_records(release: Release, choice: Choice, listing: Listing, paths: InstallPaths) -> None:
    record = InstallRecord(
        name=release.name,
        version=release.version,
        variant=choice.variant.name,
        verdict=choice.variant.verdict,
        serve=choice.serve,
        listing=listing,
        reason=choice.reason,
        installed_at=datetime.now(UTC),
    )
    record_release(paths, release)
    write_atomically(paths.record, record.model_dump_json(indent=2).encode())


def _swap_in(partial: Path, paths: InstallPaths) -> None:
    """Give the finished directory its name; an existing one is a damaged install, and is removed."""
    shutil.rmtree(paths.replaced, ignore_errors=True)
    if paths.directory.exists():
        paths.directory.rename(paths.replaced)
    partial.rename(paths.directory)
    sync(paths.directory.parent)
    shutil.rmtree(paths.replaced, ignore_errors=True)


def _allocated_bytes(directory: Path) -> int:
    """Count the bytes that a directory's files occupy on disk, without holes."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
