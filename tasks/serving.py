"""Starting the sides of a measurement by their serve recipes, and measuring them undisturbed.

Invariants:
- One measurement at a time on a host: two would measure each other.
- Every side is served from exactly its tree, made anew and verified for this measurement.
- A tree lies at the same path each time: by the path vLLM finds what it compiled for a checkpoint before.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock

from tasks.judging.endpoint import Endpoint, Side
from tasks.pipeline import Pipeline
from tasks.toolchains import ensure, serving


@contextmanager
def served(pipeline: Pipeline, sides: Sequence[Side], label: str) -> Iterator[list[Endpoint]]:
    """Serve all sides at once for the time of the context; endpoints in the order of the sides.

    Raises:
        tasks.errors.TaskError: a toolchain cannot be had, or a server did not get ready, or ended meanwhile.
    """
    root = pipeline.settings.home / "serving"
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"), ExitStack() as stack:
        for tree in {side.tree for side in sides}:
            shutil.rmtree(root / tree, ignore_errors=True)  # of a run that was killed
            stack.callback(shutil.rmtree, root / tree, ignore_errors=True)
            pipeline.store.materialize(tree, root / tree)
        yield [_start(pipeline, stack, side, root / side.tree, label) for side in sides]


def _start(pipeline: Pipeline, stack: ExitStack, side: Side, tree: Path, label: str) -> Endpoint:
    toolchain = ensure(side.recipe.toolchain, pipeline.settings, on_progress=pipeline.say)
    name = "".join(character if character.isalnum() else "-" for character in side.name)
    server = stack.enter_context(
        serving(
            toolchain,
            side.recipe,
            tree,
            log=pipeline.log_file(f"{label}-{name}"),
            on_line=pipeline.say,
            ready_limit_s=pipeline.settings.server_ready_limit_s,
        )
    )
    pipeline.say(f"{side.name}: ready after {server.ready_s:.1f} s")
    return Endpoint(base_url=server.base_url, side=side)
