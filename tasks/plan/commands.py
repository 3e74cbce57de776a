"""What a stage would run: nodes of the graph with placeholders for trees, addresses and GPUs. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from artifacts.placeholders import fill_placeholders
from tasks.commands import Command, server_commands, symbols
from tasks.kinds import ToolCommand
from tasks.plan.records import StageCommands, StageInput
from tasks.stages import Inputs, JobNode, MeasuredNode, Node, SpecGraph, WorkerStage
from tasks.toolchains import NotInstalled
from tasks.workers.common.records import as_json


def stage_commands(
    graph: SpecGraph,
    identity: Callable[[str], str | NotInstalled],
    trees: Mapping[str, str],
    config: Mapping[str, Any] | None,
) -> Iterator[StageCommands]:
    """Yield the commands of all stages of a spec, in order.

    Args:
        graph: the stages.
        identity: returns the identity of a toolchain on this host, or why it is not installed.
        trees: digest of each tree that the store holds, by the title of the node that made it.
        config: config.json of the checkpoint; None if it is not known.

    Raises:
        TaskError: a kind refuses a variant's options, or names a toolchain that is not declared.
    """
    for node in graph:
        yield _left_out(node) if node.left_out else _stage(node, identity, trees, config)


def _left_out(node: Node) -> StageCommands:
    return StageCommands(
        stage=node.stage,
        variant=node.variant,
        does=f"Left out: {node.left_out}.",
        left_out=True,
        work_pool=node.work_pool,
    )


def _stage(
    node: Node,
    identity: Callable[[str], str | NotInstalled],
    trees: Mapping[str, str],
    config: Mapping[str, Any] | None,
) -> StageCommands:
    inputs = Inputs(
        trees={need.role: symbols.tree(need.node.makes) for need in node.needs},
        identities={name: _identity(name, identity(name)) for name in node.toolchains},
        config=config,
    )
    gpus, commands = _work(node, inputs)
    return StageCommands(
        stage=node.stage,
        variant=node.variant,
        does=node.does,
        work_pool=node.work_pool,
        gpus=gpus,
        toolchains=node.toolchains,
        inputs=tuple(_inputs(node, trees)),
        params=node.params(inputs),
        commands=commands,
        output=symbols.tree(node.makes) if node.makes else None,
    )


def _identity(name: str, found: str | NotInstalled) -> str:
    return symbols.identity(name) if isinstance(found, NotInstalled) else found


def _inputs(node: Node, trees: Mapping[str, str]) -> Iterator[StageInput]:
    for need in node.needs:
        digest, after = trees.get(need.node.title), need.node.title
        path = symbols.tree(need.node.makes)
        yield StageInput(role=need.role, path=path, tree=digest, known_after=None if digest else after)


def _work(node: Node, inputs: Inputs) -> tuple[int, tuple[Command, ...]]:
    """Return how many GPUs a stage holds, and its commands."""
    if isinstance(node, JobNode):
        work = node.job(inputs)
        tools = (_tool(work, command) for command in node.commands())
        return symbols.gpus_held(work.toolchain, work.gpus.count), (_worker(work), *tools)
    if isinstance(node, MeasuredNode):
        sides = node.sides(inputs)
        gpus = sum(symbols.gpus_held(side.serve.toolchain, side.devices) for side in sides)
        servers = (server_commands(side.name, side.serve, side.tree, side.devices) for side in sides)
        return gpus, tuple(command for each in servers for command in each)
    return 0, ()


def _worker(work: WorkerStage) -> Command:
    """Return the command of a stage's worker, and the request that it reads."""
    return Command(
        what=f"worker of {work.stage}",
        run_by="stage",
        argv=(
            symbols.python(work.toolchain),
            "-P",
            "-m",
            work.worker,
            symbols.REQUEST,
            symbols.RESPONSE,
        ),
        env=dict(sorted((_environment(work) | {"PYTHONPATH": symbols.WORKER_SOURCES}).items())),
        request={
            "params": as_json(work.params),
            "admission": as_json(work.admission),
            "inputs": work.inputs,
            "output": symbols.OUTPUT,
        },
    )


def _tool(work: WorkerStage, command: ToolCommand) -> Command:
    """Return one command of the tool that a stage's worker runs."""
    values = symbols.programs(work.toolchain) | {
        "checkpoint": work.inputs["checkpoint"],
        "output": symbols.OUTPUT,
        "scratch": symbols.SCRATCH,
        "port": symbols.PORT,
    }
    own = {name: fill_placeholders(value, values) for name, value in command.env.items()}
    return Command(
        what=command.name,
        run_by="worker",
        directory=symbols.SCRATCH,
        argv=tuple(fill_placeholders(part, values) for part in command.argv),
        env=_environment(work) | own,
    )


def _environment(work: WorkerStage) -> dict[str, str]:
    return symbols.environment(work.toolchain, symbols.gpus_held(work.toolchain, work.gpus.count))
