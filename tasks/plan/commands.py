"""What a stage would run: the functions that start its programs, given placeholders. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from artifacts.ports import HOST
from tasks.comparison import BENCHMARK_WORKER
from tasks.hosts import gpu_environment
from tasks.judging import Side
from tasks.kinds import ToolCommand
from tasks.plan.placeholders import OUTPUT, PORT, SCRATCH, WORKER_SOURCES, shown, tree_directory
from tasks.plan.records import Command, FindToolchain, StageWork
from tasks.stages import Inputs, JobNode, MeasuredNode, Node, WorkerStage
from tasks.toolchains import Toolchain, Worker
from tasks.toolchains.run import job_launch, server_command, server_launch
from tasks.workers.common.records import as_json
from tasks.workers.common.requests import Nothing, Request
from tasks.workers.trtllm_bench.request import TrtllmBenchParams


def stage_work(node: Node, find_toolchain: FindToolchain, config: Mapping[str, Any] | None) -> StageWork:
    """Return what a stage would run.

    Args:
        node: the stage.
        find_toolchain: returns a toolchain of this host, or why it is not installed.
        config: config.json of the checkpoint; None if it is not known.

    Raises:
        TaskError: a kind refuses a variant's options, or names a toolchain that is not declared.
    """
    reads = {need.role: tree_directory(need.node.makes) for need in node.needs}
    toolchains = {name: shown(name, find_toolchain(name)) for name in node.toolchains}
    inputs = Inputs.given(reads, toolchains, config)
    gpus, commands = 0, list[Command]()
    if isinstance(node, JobNode):
        work = node.job(inputs)
        gpus = toolchains[work.toolchain].gpus_held(work.gpus.count)
        commands += _job(work, toolchains[work.toolchain], gpus, node.commands())
    elif isinstance(node, MeasuredNode):
        for side in node.sides(inputs):
            toolchain = toolchains[side.serve.toolchain]
            gpus += toolchain.gpus_held(side.devices)
            commands += _server(side, toolchain)
        if asked := node.second_opinion():
            engine = node.sides(inputs)[0]
            commands.append(_benchmark(asked, reads, engine, toolchains[engine.serve.toolchain]))
    return StageWork(
        does=node.does,
        work_pool=node.work_pool,
        gpus=gpus,
        toolchains=node.toolchains,
        inputs=reads,
        params=node.params(inputs),
        commands=tuple(commands),
        output=tree_directory(node.makes) if node.makes else None,
    )


def _job(
    work: WorkerStage, toolchain: Toolchain, gpus: int, tools: tuple[ToolCommand, ...]
) -> Iterator[Command]:
    """Yield the command of a stage's worker with its request, then the commands that the worker runs."""
    inputs = {role: Path(path) for role, path in work.inputs.items()}
    request = Request(work.params, work.admission, inputs, OUTPUT)
    worker = Worker(module=work.worker, import_path=WORKER_SOURCES)
    launch = job_launch(toolchain, worker, request, SCRATCH, **_held(gpus))
    yield Command(
        what=f"worker of {work.stage}",
        run_by="stage",
        directory=str(SCRATCH),
        argv=launch.argv,
        env=dict(launch.env),
        request=as_json(request),
    )
    places = {
        "python": str(toolchain.python),
        "bin": str(toolchain.bin_dir),
        "checkpoint": work.inputs["checkpoint"],
        "output": str(OUTPUT),
        "scratch": str(SCRATCH),
        "port": PORT,
    }
    for tool in (each.filled(places) for each in tools):
        env = {**launch.env, **tool.env}
        yield Command(what=tool.name, run_by="worker", directory=str(SCRATCH), argv=tool.argv, env=env)


def _server(side: Side, toolchain: Toolchain) -> Iterator[Command]:
    """Yield the copies of files for a server, then the server."""
    serve, tree = side.serve, Path(side.tree)
    for copy in serve.copies(tree=side.tree, scratch=str(SCRATCH)):
        what = f"copy of a file for the server of {side.name}"
        yield Command(what=what, run_by="stage", argv=copy, env={})
    command = server_command(toolchain, serve, tree, SCRATCH, HOST, PORT, serve.model)
    held = _held(toolchain.gpus_held(side.devices))
    launch = server_launch(toolchain, serve, tree, SCRATCH, command, **held)
    roles = f" ({', '.join(side.roles)})" if side.roles else ""
    yield Command(
        what=f"server of {side.name}{roles}", run_by="stage", argv=launch.argv, env=dict(launch.env)
    )


def _benchmark(asked: ToolCommand, reads: Mapping[str, str], side: Side, toolchain: Toolchain) -> Command:
    """Return the command of the tool's own benchmark, which a worker runs after the servers have ended."""
    made = {"dataset": str(SCRATCH / "dataset"), "output": str(SCRATCH / "output"), "scratch": str(SCRATCH)}
    inputs = {role: Path(path) for role, path in reads.items() if role in ("engine", "checkpoint")}
    worker = Worker(module=BENCHMARK_WORKER, import_path=WORKER_SOURCES)
    request = Request(TrtllmBenchParams(asked), Nothing(), inputs, SCRATCH)
    held = _held(toolchain.gpus_held(side.devices))
    launch = job_launch(toolchain, worker, request, SCRATCH, **held)
    filled = asked.filled({"bin": str(toolchain.bin_dir), **reads, **made})
    return Command(
        what="the tool's own benchmark, as a second opinion on speed",
        run_by="worker",
        directory=str(SCRATCH),
        argv=filled.argv,
        env={**launch.env, **filled.env},
    )


def _held(gpus: int) -> dict[str, Any]:
    """Return what a launch is given to run on so many GPUs, with no variables of this process."""
    uuids = tuple(f"<gpu-uuid:{number}>" for number in range(1, gpus + 1))
    return {"extra_env": gpu_environment(f"<gpus:{gpus}>" if gpus else ""), "gpus": uuids, "source": {}}
