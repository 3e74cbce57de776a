"""Placeholders of a dry run, for the directories and addresses that differ between hosts."""

from artifacts.placeholders import fill_placeholders
from tasks.hosts import VISIBLE
from tasks.toolchains import declaration
from tasks.toolchains.run import FIXED, PASSED, SYSTEM_PATH

OUTPUT, SCRATCH = "<output>", "<scratch>"
REQUEST, RESPONSE = "<request.json>", "<response.json>"
WORKER_SOURCES = "<worker-sources>"
HOST, PORT = "127.0.0.1", "<port>"

MEANINGS = {
    "<tree:NAME>": "directory that holds exactly the tree of that name, as an earlier stage made it",
    "<toolchain:NAME>": "directory of an installed toolchain (`enginery toolchain install NAME` prints it); "
    "if an image serves it, the client of containers runs the command instead",
    "<identity:NAME>": "digest of what is installed in a toolchain",
    WORKER_SOURCES: "directory with the modules of this program that a worker imports, and nothing else; if "
    "you run it by hand, the directory that holds this program's packages will do",
    OUTPUT: "empty directory that becomes the stage's tree",
    SCRATCH: "directory that is deleted afterwards; each job and server has its own",
    REQUEST: "file that says what a worker has to do",
    RESPONSE: "file that a worker writes its answer to",
    PORT: "free TCP port; each server has its own",
    "<gpus:N>": "comma-separated numbers of N GPUs that the stage has locked; each server has its own",
    "<host:PROGRAM>": "directory of a program that the host provides",
    "<spare-processors>": "number of the host's processors minus one, but at least one",
    "<patch>": "patch number that is chosen when a release is published",
}
PASSED_VARIABLES = tuple(sorted(PASSED - {VISIBLE, "TMPDIR"}))


def tree(name: str) -> str:
    """Return the placeholder for the directory of a tree."""
    return f"<tree:{name}>"


def identity(toolchain: str) -> str:
    """Return the placeholder for the identity of a toolchain that is not installed."""
    return f"<identity:{toolchain}>"


def python(toolchain: str) -> str:
    """Return the path of a toolchain's interpreter."""
    return f"{bin_dir(toolchain)}/python"


def bin_dir(toolchain: str) -> str:
    """Return the directory of a toolchain's programs."""
    return f"<toolchain:{toolchain}>/bin"


def gpus_held(toolchain: str, devices: int) -> int:
    """Return how many GPUs a job or server holds: none if its toolchain computes on the CPU."""
    return devices if declaration(toolchain).accelerator == "cuda" else 0


def environment(toolchain: str, gpus: int) -> dict[str, str]:
    """Return the environment of a job or server of a toolchain, except the variables that are passed on.

    It is what `job_environment` and `tasks.hosts` give, without looking at this host.

    Raises:
        ToolchainUnavailable: there is no toolchain of this name.
    """
    declared = declaration(toolchain)
    own = {
        name: fill_placeholders(value, {"spare_processors": "<spare-processors>"})
        for name, value in declared.env.items()
    }
    programs = [f"<host:{program}>" for program in declared.programs]
    path = ":".join([bin_dir(toolchain), *programs, SYSTEM_PATH])
    held = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE: f"<gpus:{gpus}>"} if gpus else {}
    return dict(sorted((FIXED | own | held | {"PATH": path, "TMPDIR": SCRATCH}).items()))


def programs(toolchain: str) -> dict[str, str]:
    """Return what {python} and {bin} stand for in a command of a toolchain."""
    return {"python": python(toolchain), "bin": bin_dir(toolchain)}
