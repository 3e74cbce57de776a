"""The commands of a plan as a shell transcript, one flag per line; everything else is a comment. Pure.

Once its placeholders are filled in, each command can be typed.
"""

import json
from collections.abc import Iterator, Mapping

from flows.text.plan import head_lines
from flows.text.shell import shell_command
from tasks.plan import Command, SpecPlan, StageWork
from tasks.toolchains.run import REQUEST_FILE

END_OF_REQUEST = "END_OF_REQUEST"


def transcript(plan: SpecPlan) -> Iterator[str]:
    """Yield all lines of a plan that was made with its commands."""
    yield from (f"# {line}" for line in head_lines(plan))
    yield "# every command also gets these variables, if this program has them: " + ", ".join(
        plan.passed_variables
    )
    yield "# placeholders:"
    yield from (f"#   {name}  {meaning}" for name, meaning in plan.placeholders.items())
    known = dict[str | None, str]()
    for stage in plan.stages:
        yield ""
        yield f"### {stage.stage} {stage.variant}".rstrip()
        yield f"# {stage.state}: {'; '.join(stage.reasons)}"
        if stage.work:
            after = f"known after {stage.stage} {stage.variant}"
            known[stage.work.output] = f"tree {stage.tree}" if stage.tree else after
            yield from _work(stage.work, known)


def _work(work: StageWork, known: Mapping[str | None, str]) -> Iterator[str]:
    yield f"# {work.does}"
    if work.work_pool:
        yield f"# work pool {work.work_pool}; GPUs held: {work.gpus or 'none'}"
    if work.toolchains:
        yield f"# toolchains: {', '.join(work.toolchains)}"
    yield from (f"# reads {tree}: {known[tree]}" for tree in work.inputs.values())
    if not work.commands:
        yield from (f"# {name}: {json.dumps(value, sort_keys=True)}" for name, value in work.params.items())
    for command in work.commands:
        yield from _command(command)
    if work.output:
        yield f"# makes {work.output}"


def _command(command: Command) -> Iterator[str]:
    yield f"# {command.what}" + ("; the worker runs it:" if command.run_by == "worker" else ":")
    if command.directory is not None:
        yield f"cd {command.directory}"
    if command.request is not None:
        yield f"cat > {REQUEST_FILE} <<'{END_OF_REQUEST}'"
        yield json.dumps(command.request, indent=2, sort_keys=True)
        yield END_OF_REQUEST
    yield shell_command(command.argv, command.env, clean=True)
