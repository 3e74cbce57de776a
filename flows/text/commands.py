"""The commands of a plan as a shell transcript, one flag per line; everything else is a comment. Pure.

Once its placeholders are filled in, each command can be typed.
"""

import json
from collections.abc import Iterator

from flows.text.plan import head_lines
from flows.text.shell import shell_command
from tasks.commands import Command, symbols
from tasks.plan import PlannedStage, SpecPlan, StageCommands, StageInput

END_OF_REQUEST = "END_OF_REQUEST"


def transcript(plan: SpecPlan) -> Iterator[str]:
    """Yield all lines of a plan that was made with its commands."""
    yield from (f"# {line}" for line in head_lines(plan))
    yield "# every command also gets these variables, if this program has them: " + ", ".join(
        plan.passed_variables
    )
    yield "# placeholders:"
    yield from (f"#   {name}  {meaning}" for name, meaning in plan.placeholders.items())
    looked_up = {(stage.stage, stage.variant): stage for stage in plan.stages}
    for stage in plan.commands:
        yield ""
        yield from _stage(stage, looked_up.get((stage.stage, stage.variant)))


def _stage(stage: StageCommands, looked_up: PlannedStage | None) -> Iterator[str]:
    yield f"### {stage.stage} {stage.variant}".rstrip()
    yield f"# {stage.does}"
    if looked_up is not None and not stage.left_out:
        yield f"# {looked_up.state}: {'; '.join(looked_up.reasons)}"
    if stage.work_pool and not stage.left_out:
        yield f"# work pool {stage.work_pool}; GPUs held: {stage.gpus or 'none'}"
    if stage.toolchains:
        yield f"# toolchains: {', '.join(stage.toolchains)}"
    yield from map(_input, stage.inputs)
    if not stage.commands:
        yield from (f"# {name}: {json.dumps(value, sort_keys=True)}" for name, value in stage.params.items())
    for command in stage.commands:
        yield from _command(command)
    if stage.output:
        yield f"# makes {stage.output}"


def _input(source: StageInput) -> str:
    known = f"tree {source.tree}" if source.tree else f"known after {source.known_after}"
    return f"# reads {source.path}: {known}"


def _command(command: Command) -> Iterator[str]:
    yield f"# {command.what}" + ("; the worker runs it:" if command.run_by == "worker" else ":")
    if command.directory is not None:
        yield f"cd {command.directory}"
    if command.request is not None:
        yield f"cat > {symbols.REQUEST} <<'{END_OF_REQUEST}'"
        yield json.dumps(command.request, indent=2, sort_keys=True)
        yield END_OF_REQUEST
    yield shell_command(command.argv, command.env, clean=True)
