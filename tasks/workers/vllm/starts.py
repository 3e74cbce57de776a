"""Starts the engine's server as its users will, cold, warm and from a copy, and reports how it went.

A copy stands for another host: another directory, another home, another path of the toolchain and, if this
process may become one, another user.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.workers.common.io import say
from tasks.workers.common.sources import ROOT
from tasks.workers.common.tool_command import ToolCommand
from tasks.workers.common.trial_server import HOST, TrialServer, free_port, require_answer
from tasks.workers.vllm.launch import PYTHON_PATH, import_path_without, relocated_python
from tasks.workers.vllm.place import ROOT as PLACES
from tasks.workers.vllm.place import Place, compiled_files, link
from tasks.workers.vllm.proof import Start, read_start
from tasks.workers.vllm.request import VllmParams
from tasks.workers.vllm.serve import COLD

OTHER_USER = "nobody"
# Beginning of the name of a copy's directory; the process that made it follows.
GUEST = "enginery-guest-"


@dataclass(frozen=True)
class Guest:
    """Who starts a copy of the engine, and from where.

    Attributes:
        directory: its home, and its directory for temporary files.
        tree: the copy.
        python: the toolchain's interpreter, by another path.
        user: numbers of its user and group; None: this process's.
        differs: what differs from the build, in words.
    """

    directory: Path
    tree: Path
    python: Path
    user: tuple[int, int] | None
    differs: str


def start_here(params: VllmParams, command: ToolCommand, tree: Path, place: Place, had_files: int) -> Start:
    """Start the server by a command of the kind.

    Args:
        params: of the request.
        command: the command.
        tree: the engine.
        place: where its caches are used.
        had_files: compiled files that it starts with.
    """
    port = free_port()
    filled = command.filled({"output": str(tree), "port": str(port)})
    with tempfile.TemporaryDirectory(prefix="vllm-") as scratch:
        begun = _Begun(filled, os.environ | filled.env, Path(scratch), None, port)
        return _start(begun, params, place, had_files)


def start_copy(params: VllmParams, guest: Guest, place: Place, had_files: int) -> Start:
    """Start the server by the serve command, from a copy of the tree; the same arguments otherwise."""
    port = free_port()
    command = ToolCommand("start from a copy", tuple(params.serve["argv"]), dict(params.serve["env"]))
    values = {"python": guest.python, "tree": guest.tree, "host": HOST, "port": port}
    filled = command.filled({k: str(v) for k, v in values.items()} | {"model": params.warm_up.model})
    path = (filled.env[PYTHON_PATH], *map(str, import_path_without(ROOT, os.environ)))
    own = {"HOME": str(guest.directory), "TMPDIR": str(guest.directory), PYTHON_PATH: os.pathsep.join(path)}
    begun = _Begun(filled, os.environ | filled.env | own, guest.directory, guest.user, port)
    return _start(begun, params, place, had_files)


@contextmanager
def guest_of(tree: Path) -> Iterator[Guest]:
    """Install a copy of a tree elsewhere for the time of the context; its files share their bytes.

    Copies of builds that were killed are removed: they would keep the bytes of a whole checkpoint.
    """
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{GUEST}{os.getpid()}-", dir=PLACES) as folder:
        directory = Path(folder)
        _copy_tree(tree, directory / "engine")
        link(directory / "toolchain", Path(sys.prefix))
        python = relocated_python(directory / "toolchain")
        user, who = _other_user(directory, python)
        toolchain = "" if python == Path(sys.executable) else "another path of the toolchain, "
        differs = f"another directory, another home, {toolchain}"
        yield Guest(directory, directory / "engine", python, user, f"{differs}{who}")


def as_this_user(guest: Guest, because: str) -> Guest:
    """Return the guest without its other user, who could not start the copy."""
    os.chown(guest.directory, os.geteuid(), os.getegid())
    differs = guest.differs.removesuffix(f"user {OTHER_USER}")
    return replace(guest, user=None, differs=f"{differs}the same user ({OTHER_USER}: {because})")


@dataclass(frozen=True)
class _Begun:
    command: ToolCommand
    environment: Mapping[str, str]
    directory: Path
    user: tuple[int, int] | None
    port: int


def _start(begun: _Begun, params: VllmParams, place: Place, had_files: int) -> Start:
    argv = begun.command.argv
    with TrialServer(argv, begun.environment, begun.directory, keep_lines=None, user=begun.user) as server:
        ready_s = server.await_ready(begun.port, params.warm_up.ready_path)
        require_answer(begun.port, params.warm_up.model)
        has_files = compiled_files(place.caches)
        lines = tuple(server.lines)
    cold = next((line.removeprefix(f"{COLD}: ") for line in lines if line.startswith(COLD)), "")
    start = read_start(ready_s, server.processor_s, lines, (had_files, has_files), cold)
    say(f"{begun.command.name}: ready after {ready_s:.1f} s, {start.compiled_files_added} files compiled")
    return start


def _remove_leftovers() -> None:
    for path in PLACES.glob(f"{GUEST}*"):
        pid = path.name.removeprefix(GUEST).partition("-")[0]
        ours = os.geteuid() in (0, path.lstat().st_uid) and path.is_dir() and not path.is_symlink()
        if ours and pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


def _copy_tree(tree: Path, copy: Path) -> None:
    for path in sorted(tree.rglob("*")):
        new = copy / path.relative_to(tree)
        if path.is_file():
            new.parent.mkdir(parents=True, exist_ok=True)
            _link_file(path, new)


def _link_file(path: Path, new: Path) -> None:
    try:
        new.hardlink_to(path)
    except OSError:  # another file system
        new.symlink_to(path)


def _other_user(directory: Path, python: Path) -> tuple[tuple[int, int] | None, str]:
    """Return a user who can start the copy, and who it is in words; None: only this process's can."""
    if os.geteuid() != 0:
        return None, "the same user (only root can become another)"
    try:
        found = pwd.getpwnam(OTHER_USER)
    except KeyError:
        return None, f"the same user (this host has no user {OTHER_USER})"
    os.chown(directory, found.pw_uid, found.pw_gid)
    if _can_read(directory, python, (found.pw_uid, found.pw_gid)):
        return (found.pw_uid, found.pw_gid), f"user {OTHER_USER}"
    os.chown(directory, os.geteuid(), os.getegid())
    return None, f"the same user ({OTHER_USER} may not read the toolchain or the engine)"


def _can_read(directory: Path, python: Path, user: tuple[int, int]) -> bool:
    """Whether a user can run the interpreter, import vLLM's files and read those of the copy."""
    program = (
        "import importlib.util, pathlib, sys\n"
        "[open(path).close() for path in pathlib.Path(sys.argv[1]).rglob('*') if path.is_file()]\n"
        "sys.exit(importlib.util.find_spec('vllm') is None)\n"
    )
    path = os.pathsep.join(map(str, import_path_without(ROOT, os.environ)))
    try:
        done = subprocess.run(
            [str(python), "-c", program, str(directory / "engine")],
            env=os.environ | {"HOME": str(directory), PYTHON_PATH: path},
            cwd=directory,
            user=user[0],
            group=user[1],
            extra_groups=(),
            capture_output=True,
            check=False,
        )
    except OSError:  # it may not even start it
        return False
    return done.returncode == 0
