"""A dry run for people: a shell transcript, one flag a line; what is no command is a comment.

Pure. With the placeholders filled in, each command is one to type.
"""

import json
from collections.abc import Iterator

from engine_specs.preflight import MemoryLine
from flows.text.shell import shell_command
from tasks.plan import REQUEST, DryCommand, DryInput, DryRun, DryStage, DryToolchain

GB = 1e9
END_OF_REQUEST = "END_OF_REQUEST"


def transcript(plan: DryRun) -> Iterator[str]:
    """All lines of a dry run."""
    yield f"# {plan.spec} {plan.version}: {plan.checkpoint} at {plan.revision}"
    yield f"# pre-flight: {plan.preflight.outcome}: {plan.preflight.judged}"
    yield from (f"#   refused: {problem}" for problem in plan.preflight.problems)
    yield from (f"#   beware: {warning}" for warning in plan.preflight.warnings)
    yield "# every command also gets these variables, where this program has them: " + ", ".join(
        plan.passed_variables
    )
    yield "# toolchains:"
    yield from map(_toolchain, plan.toolchains)
    yield "# placeholders:"
    yield from (f"#   {name}  {meaning}" for name, meaning in plan.placeholders.items())
    for stage in plan.stages:
        yield ""
        yield from _stage(stage)


def _stage(stage: DryStage) -> Iterator[str]:
    yield f"### {stage.stage} {stage.variant}".rstrip()
    yield f"# {stage.does}"
    if stage.work_pool and not stage.left_out:
        yield f"# work pool {stage.work_pool}; GPUs held: {stage.gpus or 'none'}"
    if stage.toolchains:
        yield f"# toolchains: {', '.join(stage.toolchains)}"
    yield from map(_input, stage.inputs)
    yield from _room(stage)
    if not stage.commands:
        yield from (f"# {name}: {json.dumps(value, sort_keys=True)}" for name, value in stage.params.items())
    for command in stage.commands:
        yield from _command(command)
    if stage.output:
        yield f"# makes {stage.output}"


def _toolchain(toolchain: DryToolchain) -> str:
    state = f"identity {toolchain.identity}" if toolchain.identity else toolchain.absent
    return f"#   {toolchain.name}: {state}"


def _input(one: DryInput) -> str:
    return f"# reads {one.path}: {f'tree {one.tree}' if one.tree else f'known after {one.known_after}'}"


def _room(stage: DryStage) -> Iterator[str]:
    """Memory and disk, with the arithmetic."""
    if stage.memory is not None:
        memory = stage.memory
        budget = f", {memory.budget_bytes / GB:.1f} GB may be planned for" if memory.budget_bytes else ""
        yield f"# memory of one device: {memory.total_bytes / GB:.1f} GB{budget}: {memory.fit}"
        yield from map(_line, memory.lines)
    if stage.disk is not None:
        yield f"# disk of the building host: {stage.disk.total_bytes / GB:.1f} GB"
        yield from map(_line, stage.disk.lines)


def _line(line: MemoryLine) -> str:
    known = f" (known after {line.known_after})" if line.known_after else ""
    return f"#   {line.bytes / GB:8.3f} GB  {line.what} = {line.arithmetic}{known}"


def _command(command: DryCommand) -> Iterator[str]:
    yield f"# {command.what}" + ("; the worker runs it:" if command.run_by == "worker" else ":")
    if command.directory is not None:
        yield f"cd {command.directory}"
    if command.request is not None:
        yield f"cat > {REQUEST} <<'{END_OF_REQUEST}'"
        yield json.dumps(command.request, indent=2, sort_keys=True)
        yield END_OF_REQUEST
    yield shell_command(command.argv, command.env, clean=True)
