"""Runs uv, and the other steps of an installation, in the environment that is being made."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uv

from artifacts.progress import Say
from tasks.errors import (
    TaskError,
    ToolchainCorrupt,
    ToolchainInstallFailed,
    ToolchainUnavailable,
    WorkerCancelled,
)
from tasks.toolchains.run import Supervised, failure

# What uv logs about its steps: "Downloading torch (170.2MiB)", "Prepared 12 packages in 3.2s".
STEPS = re.compile(r"^\s*(?:Downloading|Prepared|Installed)\s+(?!\d+ packages? in 0)\S.*")
NO_BUILD = re.compile(r"No solution found when resolving dependencies")
WANTED = re.compile(r"you require (?P<wanted>[^\s,]+)")
WRONG_HASH = re.compile(r"Hash mismatch for")
# Hashes pin every file, so any index that has it may serve it: no index can substitute another file.
EXACT = ("--no-deps", "--only-binary", ":all:", "--index-strategy", "unsafe-best-match")
# uv finds no settings of a project here, and never prompts.
QUIET = ("--no-progress", "--color", "never", "--no-python-downloads")
TIME_LIMIT_S = 3600.0


class Uv:
    """uv for one environment; every step's output goes to the installation's log."""

    def __init__(
        self,
        python: Path,
        *,
        log: Path,
        env: Mapping[str, str],
        arguments: Sequence[str] = (),
        keep_fds: Sequence[int],
        say: Say,
    ) -> None:
        """`python` is the interpreter of the environment, `arguments` are added to each installation."""
        self._python = python
        self._log = log
        self._env = env
        self._arguments = tuple(arguments)
        self._keep_fds = keep_fds
        self._say = say

    def make_environment(self, root: Path, interpreter: Path) -> None:
        """Make an empty environment of this interpreter; whatever else the directory holds stays."""
        self._uv("venv", "--no-project", "--allow-existing", "--python", str(interpreter), str(root))

    def install_build(self, requirement: str) -> None:
        """Install one distribution by its exact version; the index settings say from where."""
        self._install([requirement, *self._arguments])

    def install_locked(self, lock: Path) -> None:
        """Install what a lock names; every file must have one of the lock's hashes."""
        self._install(["--require-hashes", "-r", str(lock), *self._arguments])

    def install_wheels(self, requirements: Path, directory: Path) -> None:
        """Install wheels of a directory, which the requirements name with their hashes; asks no index."""
        self._install(
            ["--no-index", "--find-links", str(directory), "--require-hashes", "-r", str(requirements)]
        )

    def compile(self, site_packages: Path) -> None:
        """Compile to byte code on all processors; files that are not valid Python (templates) are skipped."""
        everything = "import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=0)"
        self.run_python(["-c", everything, str(site_packages)])

    def run_python(self, arguments: Sequence[str]) -> list[str]:
        """Run the environment's interpreter; returns the last lines that it printed."""
        return self._run([str(self._python), "-I", *arguments], lambda _: None)

    def _install(self, arguments: Sequence[str]) -> None:
        self._uv("pip", "install", "--python", str(self._python), *EXACT, *arguments)

    def _uv(self, *arguments: str) -> None:
        self._run([uv.find_uv_bin(), *QUIET, *arguments], self._report)

    def _report(self, line: str) -> None:
        if STEPS.match(line):
            self._say(line.strip())

    def _run(self, command: Sequence[str], on_line: Callable[[str], None]) -> list[str]:
        process = Supervised(
            command,
            env=self._env,
            log=self._log,
            time_limit_s=TIME_LIMIT_S,
            keep_fds=self._keep_fds,
            cwd=self._log.parent,
        )
        with process:
            for line in process.lines():
                on_line(line)
            ending = process.ending()
        if error := failure("installing a toolchain", process, ending, TIME_LIMIT_S):
            raise explained(error, list(process.tail))
        return list(process.tail)


def explained(error: TaskError, tail: Sequence[str]) -> TaskError:
    """The error that says why uv failed, as far as its last lines show."""
    if isinstance(error, WorkerCancelled):
        return error
    text = " ".join(line.strip() for line in tail)
    if WRONG_HASH.search(text):
        what = "a downloaded package has none of the hashes that the lock names"
        return ToolchainCorrupt(
            what, where=error.where, fix="empty uv's cache (uv cache clean) and use a trusted index"
        )
    if NO_BUILD.search(text):
        wanted = WANTED.search(text)
        package = wanted["wanted"] if wanted else "a package"
        return ToolchainUnavailable(
            f"uv finds no build of {package} for this Python and machine",
            where=error.where,
            fix="say where such builds are, then try again: PIP_EXTRA_INDEX_URL or UV_INDEX (an index; "
            "PyTorch has one of CPU builds), PIP_FIND_LINKS or UV_FIND_LINKS (a folder of wheels)",
        )
    fix = (
        "check the network and the settings of pip or uv, then run the command again: it continues from here"
    )
    return ToolchainInstallFailed(error.what, where=error.where, fix=fix)
