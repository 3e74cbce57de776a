"""What a serve command becomes on this host: the argument list and the environment of the server.

The paths that these functions are given are absolute; a plan gives them placeholders instead.
"""

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
    toolchain: Toolchain,
    serve_command: ServeCommand,
    tree: Path,
    scratch: Path,
    host: str,
    port: int | str,
    model: str,
) -> list[str]:
    """The serve command's argument list on this host; `model` is the name that the server answers to."""
    return serve_command.command(
        python=str(toolchain.python),
        bin_dir=str(toolchain.bin_dir),
        tree=str(tree),
        scratch=str(scratch),
        host=host,
        port=port,
        model=model,
    )


def server_environment(
    toolchain: Toolchain,
    serve_command: ServeCommand,
    tree: Path,
    scratch: Path,
    extra_env: Mapping[str, str],
    source: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """The environment of a server: that of a job, and the serve command's own variables."""
    own = serve_command.environment(tree=str(tree), scratch=str(scratch))
    return job_environment(toolchain, {"TMPDIR": str(scratch)} | own | dict(extra_env), source)


def server_launch(
    toolchain: Toolchain,
    serve_command: ServeCommand,
    tree: Path,
    scratch: Path,
    command: Sequence[str],
    *,
    extra_env: Mapping[str, str],
    gpus: Sequence[str],
    source: Mapping[str, str] = os.environ,
) -> Launch:
    """What starts a server with this argument list.

    `gpus` are the UUIDs of the GPUs that it computes on; `source` is the environment that allowed variables
    are passed on from.
    """
    return toolchain.launcher.launch(
        Program(
            argv=tuple(command),
            env=server_environment(toolchain, serve_command, tree, scratch, extra_env, source),
            directory=scratch,
            reads=(tree,),
            writes=(scratch,),
            gpus=tuple(gpus),
            listens=True,
        )
    )


@contextmanager
def server_scratch(toolchain: Toolchain, serve_command: ServeCommand, tree: Path) -> Iterator[Path]:
    """The directory `{scratch}`, for the server's temporary files and with the copies that it needs.

    Raises OSError if the tree lacks a file that the serve command names.
    """
    with temporary_files(toolchain) as directory:
        for path in serve_command.rewrites:
            copy = directory / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            # Not its mode: files of a tree are read-only.
            shutil.copyfile(tree / path, copy)
        for path in serve_command.fills:
            copy = directory / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = (tree / path).read_text(encoding="utf-8")
            copy.write_text(serve_command.filled(content, tree=str(tree)), encoding="utf-8")
        yield directory
