"""Running the checks on this host."""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec

from artifacts.errors import ArtifactError, EngineryError
from artifacts.hosts import probe_host
from artifacts.ports import is_free
from artifacts.settings import Settings
from artifacts.store import open_store
from engine_specs.tables import load_targets
from flows.doctor import judgements, probes
from flows.doctor.check import Check, Group
from flows.stack.components.configured_server import configured_url, require_answer
from flows.stack.components.prefect_api import PrefectApi
from flows.stack.components.schedule import next_nightly
from tasks.toolchains import Toolchain, declared, status


def examine(settings: Settings, only: Group | None = None) -> Iterator[Check]:
    """Run all checks, or those of one group; yield each result as soon as it is there."""
    groups = {"host": _host, "services": _services, "toolchains": _toolchains, "gpu": _gpu}
    for name, probe in groups.items():
        if only in {None, name}:
            yield from probe(settings)


def _host(settings: Settings) -> Iterator[Check]:
    yield judgements.judge_python(sys.version_info[:2], sys.executable)
    yield judgements.judge_cpu(probe_host(), load_targets().values())
    for use, path in (
        ("state", settings.home),
        ("the cache", settings.cache_dir),
        ("toolchains", settings.toolchains_dir),
    ):
        yield judgements.judge_disk(use, str(path), probes.free_bytes(path))
    yield judgements.judge_memory(probes.available_memory_bytes())
    yield judgements.judge_shared_memory(probes.shared_memory_free_bytes())
    yield judgements.judge_clock(datetime.now(UTC), probes.newest_own_file())
    yield judgements.judge_compiler(*probes.try_compiler())
    if _has_local_stack():
        yield from _ports(settings)


def _has_local_stack() -> bool:
    """Whether the packages of the local stack are installed; a serving host needs none of them."""
    return all(find_spec(name) for name in ("prefect", "psutil"))


def _ports(settings: Settings) -> Iterator[Check]:
    from flows.stack.components import object_store, prefect_server
    from flows.stack.status import status as stack_status

    seen = stack_status(settings)
    for name, port in (
        (prefect_server.NAME, prefect_server.DEFAULT_PORT),
        (object_store.NAME, object_store.DEFAULT_S3_PORT),
    ):
        part = seen.component(name)
        ours = part.state != "down" and part.url.endswith(f":{port}")
        yield judgements.judge_port(name, port, is_free(port), ours)


def _services(settings: Settings) -> Iterator[Check]:
    up = "enginery up, or set the variables of your own service"
    yield judgements.judge_service("store", *_store(settings), f"{up} (AWS_ENDPOINT_URL_S3, ...)")
    if not _has_local_stack():
        return
    api = configured_url()
    yield judgements.judge_service("Prefect", api, _prefect_problem(api), f"{up} (PREFECT_API_URL)")
    if api:
        yield judgements.judge_schedule(next_nightly(PrefectApi.configured()))
    yield judgements.judge_hub_token(os.environ, probes.hub_token_file().exists())


def _store(settings: Settings) -> tuple[str, str]:
    """Return where the store is, and why it cannot be listed; empty if it can."""
    try:
        bucket = open_store(settings).bucket
        next(bucket.children("releases/"), None)
    except ArtifactError as error:
        return "", f"{error.what} ({error.where})"
    return str(bucket), ""


def _prefect_problem(api: str) -> str:
    if not api:
        return "none is configured (PREFECT_API_URL): each flow would start a server of its own"
    try:
        require_answer()
    except EngineryError as error:
        return f"{error.what} ({error.where})"
    return ""


def _toolchains(settings: Settings) -> Iterator[Check]:
    for name, declaration in declared().items():
        found = status(name, settings)
        if isinstance(found, Toolchain):
            version = found.versions.get(declaration.tool, "")
            differs = f", {len(found.differences)} packages not as in its lock" if found.differences else ""
            detail = f"{declaration.tool} {version} at {found.place} ({found.provider}{differs})"
            yield judgements.judge_toolchain(name, True, detail, "")
        else:
            yield judgements.judge_toolchain(name, False, f"{found.reason} ({found.provider})", found.fix)


def _gpu(settings: Settings) -> Iterator[Check]:
    del settings  # no setting concerns GPUs
    yield judgements.judge_gpus(probe_host(), load_targets().values())
