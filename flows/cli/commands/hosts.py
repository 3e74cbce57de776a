"""`enginery pull`, `serve`, `verify`: what serving hosts need. They work with the light install."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from artifacts.errors import BadPath, NotFound
from artifacts.hosts import probe_host, refuse_host, refuse_unservable
from artifacts.releases import (
    CURRENT,
    installed_variant,
    is_install,
    judged_elsewhere,
    read_install,
    require_whole,
    verify_install,
)
from artifacts.releases import PATTERN as RELEASE
from artifacts.settings import load_settings
from flows.cli.console import emit, emit_json, progress, say
from flows.cli.context import named_release, open_local_or_configured_store
from flows.errors import BadArgument
from flows.text.units import human_bytes

Directory = Annotated[
    Path, Parameter(help="A pulled directory: ROOT/NAME/VERSION/VARIANT, or ROOT/NAME/current.")
]


def pull(
    reference: Annotated[str, Parameter(help="name, name:channel, name@1.4 or name@1.4.2.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="Directory for all installs (ROOT).")],
    variant: Annotated[str | None, Parameter(help="Install this variant.")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False,
) -> None:
    """Install the variant of a release that fits this host; print the directory.

    A name alone means its channel `stable` or, if it has none, its newest release. Every chunk is verified,
    an interrupted pull is resumed, and what is already installed is left alone. ROOT/NAME/current points to
    what was pulled last. What no pull made is never replaced.

    Exit codes: 0 done; 1 this host's disk is full or not writable; 2 an argument is wrong, or something that
    no pull made is in the way; 4 there is no such release, or nothing in it fits this host; 5 the store does
    not answer; 6 bytes do not match their digest.

    For example:

        enginery pull demo --to ./engines
        enginery pull demo:nightly --to ./engines
        enginery pull demo@0.1.0 --to ./engines --variant cpu-int8
    """
    from artifacts.releases import pull_release

    _refuse_non_directory(to)
    store = open_local_or_configured_store(load_settings())
    found = named_release(store, reference)
    release = f"{found.name}@{found.version}"
    with progress(f"pulling {release}") as on_progress:
        pulled = pull_release(store, release, to, variant, on_progress=on_progress)
    say(f"{release}, variant {pulled.variant}: {pulled.reason}")
    if pulled.judged_elsewhere:
        say(pulled.judged_elsewhere)
    if pulled.already_installed:
        say("already installed: names and sizes match (`enginery verify` reads every byte)")
    else:
        say(f"downloaded {human_bytes(pulled.downloaded_bytes)}, every chunk verified")
    if json:
        emit_json(pulled.model_dump(mode="json", exclude={"release"}) | {"release": release})
    else:
        emit(str(pulled.directory))


def serve(
    directory: Directory,
    /,
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on.")] = 8000,
) -> int:
    """Serve a pulled directory over the OpenAI completions protocol, until it is interrupted.

    Installs the required toolchain on first use. Refuses to start if a file is truncated, the port is taken,
    or the host or the toolchain cannot serve the directory; says when it is ready for requests. The model has
    the name of its release.

    Exit codes: 2 the server cannot listen on the address or the port; 4 the directory is not a pulled one, or
    this host cannot serve it; 6 a file is missing or truncated; otherwise the exit code of the server.

    For example:

        enginery serve ./engines/demo/current
        enginery serve ./engines/demo/current --host 0.0.0.0 --port 8080
    """
    from tasks.hosts import GpuNeed, gpus_for, usable_gpus
    from tasks.toolchains import ensure, require_port, run_foreground

    _require_install(directory)
    settings, facts, record = load_settings(), probe_host(), read_install(directory)
    require_port(host, port)
    entry = installed_variant(directory)
    requires = entry.requires
    require_whole(directory)
    refuse_host(requires, facts, str(directory))
    need = GpuNeed(requires.gpu_count, requires.gpu_names)
    usable_gpus(need, facts)  # before a toolchain of gigabytes is installed
    toolchain = ensure(record.serve.toolchain, settings, say)
    refuse_unservable(directory.resolve(), facts, toolchain.versions)
    name = f"{record.name}@{record.version}, variant {record.variant}"
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
    model = record.serve.served_model(record.name)
    with gpus_for(toolchain, need, settings, say) as held:
        if elsewhere := judged_elsewhere(entry.judged_on, requires, facts):
            say(elsewhere)
        say(f"starting {name}; press Ctrl-C to stop it")
        return run_foreground(
            toolchain,
            record.serve,
            directory.resolve(),
            host,
            port,
            model=record.name,
            on_ready=lambda: say(f"serving {name} at {address} as model {model!r}"),
            extra_env=held.env,
            gpus=held.uuids,
            keep_fds=held.descriptors,
        )


def verify(
    directory: Annotated[
        Path | None,
        Parameter(help="A pulled directory: ROOT/NAME/VERSION/VARIANT, or ROOT/NAME/current."),
    ] = None,
    /,
    *,
    store: Annotated[
        str | None,
        Parameter(
            help="Verify a release (name, name:channel, name@1.4 or name@1.4.2) in the store instead, with "
            "its checkpoints and reports."
        ),
    ] = None,
) -> None:
    """Read every byte of a pulled directory and compare it with the release that it came from.

    With --store, read every byte that the store holds of a release instead, and compare it with its digest.

    Exit codes: 0 intact; 2 an argument is wrong; 4 the directory is not a pulled one, or there is no such
    release; 5 the store does not answer; 6 something is missing or damaged, listed with its path or key.

    For example:

        enginery verify ./engines/demo/current
        enginery verify --store demo:nightly
    """
    if (directory is None) == (store is None):
        raise BadArgument(
            "name either a pulled directory or a release in the store",
            fix="enginery verify DIRECTORY, or enginery verify --store REF",
        )
    if store is not None:
        _verify_stored(store)
    elif directory is not None:
        _verify_installed(directory)


def _verify_installed(directory: Path) -> None:
    _require_install(directory)
    verify_install(directory)
    record = read_install(directory)
    listing = f"{len(record.listing.files)} files, {human_bytes(record.listing.total_bytes)}"
    emit(f"{record.name}@{record.version}, variant {record.variant}: {listing}: intact")


def _verify_stored(reference: str) -> None:
    from artifacts.releases import inspect_release

    opened = open_local_or_configured_store(load_settings())
    release = named_release(opened, reference)
    with progress(f"reading {release.name}@{release.version}") as on_progress:
        intact = inspect_release(opened, release, on_progress)
    read = f"{intact.trees} trees, {intact.blobs} blobs, {human_bytes(intact.total_bytes)}"
    emit(f"{release.name}@{release.version}: {read} in the store: intact")


def _require_install(directory: Path) -> None:
    """Check that a pull installed the directory.

    Raises:
        BadPath: it is a file.
        NotFound: it is not a pulled directory; the error names those below it.
    """
    _refuse_non_directory(directory)
    if directory.is_dir() and is_install(directory):
        return
    below = [path for path in sorted(_below(directory)) if path.is_dir() and is_install(path)]
    pull = f"enginery pull {directory} --to ROOT" if RELEASE.fullmatch(str(directory)) else "enginery pull"
    name_printed = f"name the directory that `{pull}` printed"
    raise NotFound(
        "this is not a pulled directory" if directory.exists() else "there is no such directory",
        where=str(directory),
        fix=f"name {' or '.join(map(str, below))}" if below else name_printed,
    )


def _below(directory: Path) -> Iterator[Path]:
    """Yield the paths at which installs may be, given ROOT, ROOT/<name> or ROOT/<name>/<version>."""
    for pattern in (f"*/{CURRENT}", "*"):
        yield from directory.glob(pattern)


def _refuse_non_directory(path: Path) -> None:
    if os.path.lexists(path) and not path.is_dir():
        raise BadPath("this is not a directory", where=str(path), fix="name a directory")
