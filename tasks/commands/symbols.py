"""Placeholders of a dry run: what stands for the directories and addresses that differ between hosts."""

from collections.abc import Mapping

from tasks.hosts import VISIBLE
from tasks.toolchains.declarations import declaration
from tasks.toolchains.run.environment import FIXED, PASSED, SYSTEM_PATH

OUTPUT, SCRATCH = "<output>", "<scratch>"
REQUEST, RESPONSE = "<request.json>", "<response.json>"
WORKER_SOURCES = "<worker-sources>"
HOST, PORT = "127.0.0.1", "<port>"

MEANINGS = {
    "<tree:NAME>": "directory that holds exactly the tree of that name, as an earlier stage made it",
    "<toolchain:NAME>": "directory of an installed toolchain (`enginery toolchain install NAME` prints it)",
    "<identity:NAME>": "digest of what is installed of a toolchain",
    WORKER_SOURCES: "directory that holds what a worker imports of this program, and nothing else; by hand, "
    "the directory of its packages will do",
    OUTPUT: "empty directory that becomes the stage's tree",
    SCRATCH: "directory that is thrown away, another one for every job and server",
    REQUEST: "file that tells a worker what to do",
    RESPONSE: "file that a worker answers in",
    PORT: "free TCP port, another one for every server",
    "<gpus:N>": "numbers of N GPUs that the stage has locked, by commas; another N for every server",
    "<host:PROGRAM>": "directory of a program of the host",
    "<spare-processors>": "processors of the host less one, at least one",
    "<patch>": "number that is taken when a release is published",
}
PASSED_VARIABLES = tuple(sorted(PASSED - {VISIBLE, "TMPDIR"}))


def tree(name: str) -> str:
    """Directory of a tree."""
    return f"<tree:{name}>"


def identity(toolchain: str) -> str:
    """Identity of a toolchain that is not installed."""
    return f"<identity:{toolchain}>"


def python(toolchain: str) -> str:
    """Interpreter of a toolchain."""
    return f"{bin_dir(toolchain)}/python"


def bin_dir(toolchain: str) -> str:
    """Directory of a toolchain's programs."""
    return f"<toolchain:{toolchain}>/bin"


def gpus_held(toolchain: str, devices: int) -> int:
    """GPUs that a job or server on so many devices holds: none where the toolchain computes on processors."""
    return devices if declaration(toolchain).accelerator == "cuda" else 0


def environment(toolchain: str, gpus: int) -> dict[str, str]:
    """The environment of a job or server of a toolchain, but for the variables that are passed on.

    The same as `job_environment` and `tasks.hosts` give, without asking this host for anything.

    Raises:
        ToolchainUnavailable: there is no toolchain of that name.
    """
    declared = declaration(toolchain)
    own = {
        name: filled(value, {"spare_processors": "<spare-processors>"})
        for name, value in declared.env.items()
    }
    programs = [f"<host:{program}>" for program in declared.programs]
    path = ":".join([bin_dir(toolchain), *programs, SYSTEM_PATH])
    held = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE: f"<gpus:{gpus}>"} if gpus else {}
    return dict(sorted((FIXED | own | held | {"PATH": path, "TMPDIR": SCRATCH}).items()))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Fill in the placeholders of a command in braces; other braces stay as they are."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def programs(toolchain: str) -> dict[str, str]:
    """What {python} and {bin} stand for in a command of a toolchain."""
    return {"python": python(toolchain), "bin": bin_dir(toolchain)}
