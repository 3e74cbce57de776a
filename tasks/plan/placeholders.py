"""Placeholders in a plan's commands, for the directories, addresses and numbers that differ between hosts."""

from pathlib import Path

from artifacts.placeholders import fill_placeholders
from tasks.hosts import VISIBLE
from tasks.toolchains import NotInstalled, Toolchain, declaration
from tasks.toolchains.run import PASSED

OUTPUT, SCRATCH, WORKER_SOURCES = Path("<output>"), Path("<scratch>"), Path("<worker-sources>")
PORT, SPARE_PROCESSORS = "<port>", "<spare-processors>"

MEANINGS = {
    "<tree:NAME>": "directory that holds exactly the tree of that name, as an earlier stage made it",
    "<toolchain:NAME>": "directory of a toolchain (`enginery toolchain install NAME` prints it); if an image "
    "serves it, its container is shown once it is installed",
    "<container>": "name of a container; each job and server has its own",
    "<user>": "name of the user who builds",
    "<identity:NAME>": "digest of what is installed in a toolchain",
    str(WORKER_SOURCES): "directory with the modules of this program that a worker imports, and nothing "
    "else; if you run it by hand, the directory that holds this program's packages will do",
    str(OUTPUT): "empty directory that becomes the stage's tree",
    str(SCRATCH): "directory that is deleted afterwards; each job and server has its own",
    PORT: "free TCP port; each server has its own",
    "<gpus:N>": "comma-separated numbers of N GPUs that the stage has locked; each server has its own",
    "<gpu-uuid:N>": "UUID of the N-th of the GPUs that a container is given",
    "<host:PROGRAM>": "directory of a program that the host provides",
    SPARE_PROCESSORS: "number of the host's processors minus one, but at least one",
    "<patch>": "patch number that is chosen when a release is published",
}
PASSED_VARIABLES = tuple(sorted(PASSED - {VISIBLE, "TMPDIR"}))


def tree_directory(name: str) -> str:
    """Return the placeholder for the directory of a tree."""
    return f"<tree:{name}>"


def shown(name: str, found: Toolchain | NotInstalled) -> Toolchain:
    """Return a toolchain with placeholders: what starts a real one's programs takes it too.

    `found` is the toolchain on this host: its identity is kept, and how it starts its programs.

    Raises:
        ToolchainUnavailable: there is no toolchain of this name.
    """
    declared, root = declaration(name), Path(f"<toolchain:{name}>")
    spare = {"spare_processors": SPARE_PROCESSORS}
    placeholders = Toolchain(
        name=name,
        root=root,
        python=root / "bin" / "python",
        bin_dir=root / "bin",
        accelerator=declared.accelerator,
        identity=f"<identity:{name}>",
        versions={},
        env={key: fill_placeholders(value, spare) for key, value in declared.env.items()},
        program_dirs=tuple(Path(f"<host:{program}>") for program in declared.programs),
    )
    if isinstance(found, NotInstalled):
        return placeholders
    known = {"identity": found.identity, "stand_in": found.stand_in}
    if launcher := found.launcher.shown(root):
        # Its programs see paths that are the same on every host.
        known |= {"launcher": launcher, "python": found.python, "bin_dir": found.bin_dir, "program_dirs": ()}
    return placeholders.model_copy(update=known)
