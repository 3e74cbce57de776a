"""The commands that docker and podman are given. Pure.

Invariants:
- Whatever a program reads or writes has the same path inside as outside.
- Running pulls nothing: what runs is the image that was inspected.
- Values of variables are passed in the client's environment, not in its argument list, which every user of
  the host can read. PATH and HOME are the client's own there, so the container's are written out.
- The image's own entry point is not run: only the requested program starts.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.toolchains.launcher import Program

Dialect = Literal["docker", "podman"]
REFERENCE = re.compile(r"(?P<name>[A-Za-z0-9][^@\s]*)@sha256:(?P<digest>[0-9a-f]{64})")
# The client's own; a program inside gets others, or none.
WRITTEN_OUT = frozenset(["PATH", "HOME"])
# Numbers of the host's GPUs, which are numbered differently inside.
DEVICES = "CUDA_VISIBLE_DEVICES"


class Client(Frozen):
    """A program that runs containers."""

    path: Path
    dialect: Dialect = Field(description="Whose command line it understands.")


class User(Frozen):
    """The user that programs run as."""

    uid: int
    gid: int


class Container(Frozen):
    """What is the same for all containers of one toolchain."""

    client: Client
    image: str = Field(description="NAME@sha256:DIGEST.")
    user: User
    home: Path = Field(description="Directory of ours that is HOME inside, and kept.")
    search_path: str = Field(default="", description="PATH inside; empty: the image's.")


def run_command(container: Container, program: Program, name: str) -> tuple[str, ...]:
    """Run one program in a container of this name, and remove the container at its end."""
    start, *arguments = program.argv
    return (
        str(container.client.path),
        *("run", "--rm", "--init", "--pull", "never", "--name", name, "--log-driver", "none"),
        *_user(container),
        *_isolation(container.client.dialect, program),
        *_gpus(container.client.dialect, program.gpus),
        *_mounts(container.home, program),
        *(("--workdir", str(program.directory)) if program.directory else ()),
        *_environment(container, program),
        *("--entrypoint", start, container.image, *arguments),
    )


def end_command(client: Client, name: str) -> tuple[str, ...]:
    """Kill what runs in the container of this name, and remove it."""
    at_once = ("--ignore", "--time", "0") if client.dialect == "podman" else ()
    return (str(client.path), "rm", "--force", *at_once, name)


def list_command(client: Client, prefix: str) -> tuple[str, ...]:
    """Print the names of all containers that begin with this prefix, running or not, one per line."""
    return (str(client.path), "ps", "--all", "--filter", f"name=^{prefix}", "--format", "{{.Names}}")


def inspect_command(client: Client, image: str) -> tuple[str, ...]:
    """Succeed if this host holds the image."""
    return (str(client.path), "image", "inspect", "--format", "{{.Id}}", image)


def pull_command(client: Client, image: str) -> tuple[str, ...]:
    """Download the image."""
    return (str(client.path), "pull", image)


def _user(container: Container) -> Iterator[str]:
    user = container.user
    yield from ("--user", f"{user.uid}:{user.gid}")
    if container.client.dialect == "podman" and user.uid != 0:
        # Otherwise a user's podman maps this user to root inside, and others to ids that own nothing here.
        yield from ("--userns", "keep-id")


def _isolation(dialect: Dialect, program: Program) -> Iterator[str]:
    # A server listens on 127.0.0.1 as it does without a container. In a network of its own it would have to
    # listen on all addresses of that network for a published port to lead to it, and each serve command would
    # need a second form for that. So it shares the host's network, bound to the address that it is given.
    yield from ("--network", "host" if program.listens else "none")
    # NCCL and torch's workers exchange data in shared memory, of which a container alone would have 64 MB.
    yield from ("--ipc", "host")
    if dialect == "podman":
        # This process's limits, as without a container; podman's own are higher than some hosts allow.
        yield from ("--ulimit", "host")
    elif program.gpus:
        # NCCL and RDMA pin memory, and docker's default allows little of that.
        yield from ("--ulimit", "memlock=-1")
    yield from ("--security-opt", "no-new-privileges")
    # If SELinux is enforced, bind mounts of a user's files are otherwise refused.
    yield from ("--security-opt", "label=disable")


def _gpus(dialect: Dialect, uuids: tuple[str, ...]) -> Iterator[str]:
    if uuids and dialect == "docker":
        # Quotes are part of the value: it is one field of a comma-separated list.
        yield from ("--gpus", f'"device={",".join(uuids)}"')
    elif uuids:
        for uuid in uuids:
            yield from ("--device", f"nvidia.com/gpu={uuid}")


def _mounts(home: Path, program: Program) -> Iterator[str]:
    writes = _outermost((home, *program.writes))
    for path in writes:
        yield from ("--mount", _fields("type=bind", f"source={path}", f"target={path}"))
    for path in _outermost(program.reads):
        if not any(path.is_relative_to(other) for other in writes):
            yield from ("--mount", _fields("type=bind", f"source={path}", f"target={path}", "readonly"))


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """The paths that lie in no other of them, in order."""
    found = list(dict.fromkeys(paths))
    return [
        path for path in found if not any(path != other and path.is_relative_to(other) for other in found)
    ]


def _fields(*fields: str) -> str:
    """One value of comma-separated fields, quoted as the clients expect."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _environment(container: Container, program: Program) -> Iterator[str]:
    yield from ("--env", f"HOME={container.home}")
    if container.search_path:
        yield from ("--env", f"PATH={container.search_path}")
    if program.gpus:
        yield from ("--env", f"{DEVICES}={','.join(map(str, range(len(program.gpus))))}")
    else:
        # NVIDIA's images ask for all GPUs, and a host may be set up to grant that.
        yield from ("--env", "NVIDIA_VISIBLE_DEVICES=void")
    for name in sorted(program.env.keys() - WRITTEN_OUT - {DEVICES}):
        yield from ("--env", name)
