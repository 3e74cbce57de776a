"""What a serve recipe comes to on this host: the argument list and the environment of the server."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from artifacts.hosts import ServeCommand
from tasks.toolchains.launcher import Launch, Program
from tasks.toolchains.records import Toolchain
from tasks.toolchains.run.environment import job_environment
from tasks.toolchains.run.temporary import temporary_files


def server_command(
    toolchain: Toolchain, recipe: ServeCommand, tree: Path, host: str, port: int, model: str
) -> list[str]:
    """The recipe's argument list on this host; `model` is the name that the server answers to."""
    return recipe.command(
        python=str(toolchain.python),
        bin_dir=str(toolchain.bin_dir),
        tree=str(tree.absolute()),
        host=host,
        port=port,
        model=model,
    )


def server_environment(
    toolchain: Toolchain, recipe: ServeCommand, tree: Path, scratch: Path, extra_env: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a server: that of a job, and the recipe's own."""
    own = recipe.environment(tree=str(tree.absolute()), scratch=str(scratch.absolute()))
    return job_environment(toolchain, {"TMPDIR": str(scratch)} | own | dict(extra_env), os.environ)


def server_launch(
    toolchain: Toolchain,
    recipe: ServeCommand,
    tree: Path,
    scratch: Path,
    command: Sequence[str],
    *,
    extra_env: Mapping[str, str],
    gpus: Sequence[str],
) -> Launch:
    """What starts a server with this argument list; `gpus` are the UUIDs of those that it computes on."""
    return toolchain.launcher.launch(
        Program(
            argv=tuple(command),
            env=server_environment(toolchain, recipe, tree, scratch, extra_env),
            directory=scratch,
            reads=(tree.absolute(),),
            writes=(scratch.absolute(),),
            gpus=tuple(gpus),
            listens=True,
        )
    )


@contextmanager
def server_scratch(toolchain: Toolchain, recipe: ServeCommand, tree: Path) -> Iterator[Path]:
    """The directory `{scratch}`, for the server's temporary files and with copies of what it rewrites.

    Raises OSError where the tree lacks a file that the recipe names.
    """
    with temporary_files(toolchain) as directory:
        for path in recipe.rewrites:
            copy = directory / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            # Not its mode: files of a tree are read-only.
            shutil.copyfile(tree / path, copy)
        yield directory
