"""Bringing up the sides of a measurement by their serve commands, to measure them undisturbed.

Invariants:
- Only one measurement at a time runs on a host, as two would disturb each other.
- Every side is served from exactly its tree, which is made and verified anew for this measurement.
- A tree has the same path each time, because vLLM finds what it compiled for a checkpoint by its path.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from artifacts.hosts import probe_host, refuse_unservable
from tasks.hosts import GpuNeed, HeldGpus, gpus_for
from tasks.judging import Endpoint, Placement, Side, Together
from tasks.runs import Pipeline
from tasks.toolchains import Toolchain, ensure, serving


@contextmanager
def together(pipeline: Pipeline, sides: Sequence[Side], label: str) -> Iterator[Placement]:
    """Bring up all sides at once, and keep them up for the time of the context, a whole measurement.

    Raises:
        tasks.errors.TaskError: a toolchain or its GPUs are unavailable, or a server did not become ready, or
            ended meanwhile.
        artifacts.errors.CannotServe: this host or a toolchain cannot serve an engine.
    """
    root = pipeline.settings.home / "serving"
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"), ExitStack() as stack:
        for tree in {side.tree for side in sides}:
            shutil.rmtree(root / tree, ignore_errors=True)  # left by a run that was killed
            stack.callback(shutil.rmtree, root / tree, ignore_errors=True)
            pipeline.store.materialize(tree, root / tree)
        equipped = _equipped(pipeline, stack, sides)
        yield Together([_start(pipeline, stack, one, root / one.side.tree, label) for one in equipped])


@dataclass(frozen=True, slots=True)
class _Equipped:
    """A side with its toolchain and GPUs."""

    side: Side
    toolchain: Toolchain
    gpus: HeldGpus


def _equipped(pipeline: Pipeline, stack: ExitStack, sides: Sequence[Side]) -> list[_Equipped]:
    """Get the toolchains and GPUs of all sides.

    All GPUs are taken at once: two measurements that each hold some of them would wait for each other.
    """
    toolchains = [ensure(side.serve.toolchain, pipeline.settings, say=pipeline.say) for side in sides]
    counts = [each.gpus_held(side.devices) for side, each in zip(sides, toolchains, strict=True)]
    computing = next((one for one in toolchains if one.accelerator == "cuda"), toolchains[0])
    need = GpuNeed(sum(counts), sides[0].gpu_names)
    held = stack.enter_context(gpus_for(computing, need, pipeline.settings, pipeline.say))
    return [_Equipped(*three) for three in zip(sides, toolchains, held.shares(counts), strict=True)]


def _start(pipeline: Pipeline, stack: ExitStack, equipped: _Equipped, tree: Path, label: str) -> Endpoint:
    side = equipped.side
    refuse_unservable(tree, probe_host(), equipped.toolchain.versions)
    name = "".join(character if character.isalnum() else "-" for character in side.name)
    server = stack.enter_context(
        serving(
            equipped.toolchain,
            side.serve,
            tree,
            log=pipeline.log_file(f"{label}-{name}"),
            on_line=pipeline.say,
            ready_limit_s=pipeline.settings.server_ready_limit_s,
            extra_env=equipped.gpus.env,
            gpus=equipped.gpus.uuids,
            keep_fds=equipped.gpus.descriptors,
        )
    )
    pipeline.say(f"{side.name}: ready after {server.ready_s:.1f} s")
    return Endpoint(base_url=server.base_url, side=side)
