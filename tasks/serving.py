"""Starting the sides of a measurement by their serve recipes, and measuring them undisturbed."""

from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock

from tasks.judging.endpoint import Endpoint, Side
from tasks.pipeline import Pipeline
from tasks.toolchains import ensure, serving


def start_side(pipeline: Pipeline, stack: ExitStack, side: Side, work: Path) -> Endpoint:
    """Start a side by its serve recipe, for as long as the stack is open.

    Sides that serve the same tree share one directory below `work`.

    Raises:
        tasks.errors.TaskError: the toolchain cannot be had, or the server did not get ready.
    """
    toolchain = ensure(side.recipe.toolchain, pipeline.settings, on_progress=pipeline.say)
    tree = work / "trees" / side.tree
    if not tree.exists():
        tree.parent.mkdir(exist_ok=True)
        pipeline.store.materialize(side.tree, tree)
    label = "".join(character if character.isalnum() else "-" for character in side.name)
    server = stack.enter_context(
        serving(
            toolchain,
            side.recipe,
            tree,
            log=pipeline.log_file(f"{work.name}-{label}"),
            on_line=pipeline.say,
            ready_limit_s=pipeline.settings.server_ready_limit_s,
        )
    )
    pipeline.say(f"{side.name}: ready after {server.ready_s:.1f} s")
    return Endpoint(base_url=server.base_url, side=side)


def measuring_alone(pipeline: Pipeline) -> FileLock:
    """The lock of this host's measurements: two at a time would measure each other."""
    pipeline.settings.home.mkdir(parents=True, exist_ok=True)
    return FileLock(pipeline.settings.home / "measuring.lock")
