"""Runs pip, and the other steps of an installation, in the environment that is being made."""

import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks.errors import (
    TaskError,
    ToolchainCorrupt,
    ToolchainInstallFailed,
    ToolchainUnavailable,
    WorkerCancelled,
)
from tasks.toolchains.providers.lock.install_lock import exclusive
from tasks.toolchains.run.exit_status import failure
from tasks.toolchains.run.supervised import Supervised

# pip says "Collecting NAME==VERSION" for what it downloads, "Processing PATH" for a wheel in a local folder.
COLLECTING = re.compile(
    r"(?:Collecting |Requirement already satisfied: |Processing \S*/)"
    r"(?P<name>[A-Za-z0-9._]+(?:-[A-Za-z][\w.]*)*)(?:==|-)?(?P<version>[0-9][^\s-]*)?"
)
NO_BUILD = re.compile(r"No matching distribution found for (\S+)")
WRONG_HASH = re.compile(r"DO NOT MATCH THE HASHES")
EXACT = ("--no-deps", "--only-binary", ":all:", "--no-compile", "--no-input", "--progress-bar", "off")
TIME_LIMIT_S = 3600.0


class Pip:
    """pip of one environment; every step's output goes to the installation's log."""

    def __init__(
        self,
        python: Path,
        pip: Path,
        *,
        log: Path,
        env: Mapping[str, str],
        keep_fds: Sequence[int],
        on_progress: Callable[[str], None],
    ) -> None:
        self._python = python
        # pip's own way of working on an environment that does not hold it (its option --python does this).
        self._runner = pip / "pip" / "__pip-runner__.py"
        self._log = log
        self._env = env
        self._keep_fds = keep_fds
        self._say = on_progress
        self._seen = 0
        self.total = 0

    def install_build(self, requirement: str) -> None:
        """Install one distribution by its exact version; pip's own configuration says from where."""
        self._install([requirement])

    def install_locked(self, lock: Path) -> None:
        """Install what a lock names; every file must have one of the lock's hashes."""
        self._install(["--require-hashes", "-r", str(lock)])

    def install_wheels(self, requirements: Path, directory: Path) -> None:
        """Install wheels of a directory, which the requirements name with their hashes; asks no index."""
        self._install(
            ["--no-index", "--find-links", str(directory), "--require-hashes", "-r", str(requirements)]
        )

    def compile(self, site_packages: Path) -> None:
        """Make the byte code, on all processors; files that are no valid Python (templates) are skipped."""
        everything = "import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=0)"
        self.run_python(["-c", everything, str(site_packages)])

    def run_python(self, arguments: Sequence[str], python: Path | None = None) -> list[str]:
        """Run the environment's interpreter, or another one; the last lines it printed."""
        return self._run([str(python or self._python), "-I", *arguments], lambda _: None)

    def _install(self, arguments: Sequence[str]) -> None:
        self._run([str(self._python), "-I", str(self._runner), "install", *EXACT, *arguments], self._tell)

    def _tell(self, line: str) -> None:
        if line.startswith("Installing collected packages"):
            self._say("unpacking")
        elif found := COLLECTING.match(line):
            self._seen += 1
            self._say(f"{self._seen}/{self.total} {found['name']} {found['version'] or ''}".rstrip())

    def _run(self, command: Sequence[str], on_line: Callable[[str], None]) -> list[str]:
        process = Supervised(
            command, env=self._env, log=self._log, time_limit_s=TIME_LIMIT_S, keep_fds=self._keep_fds
        )
        with process:
            for line in process.lines():
                on_line(line)
            ending = process.ending()
        if error := failure("installing a toolchain", process, ending, TIME_LIMIT_S):
            raise told(error, list(process.tail))
        return list(process.tail)


def unpacked_pip(wheel: Path, toolchains_dir: Path) -> Path:
    """A directory with the pip of this wheel, beside the toolchains, so that none of them has to hold it."""
    target = toolchains_dir / f".{wheel.stem}"
    with exclusive(toolchains_dir / ".pip.lock", lambda: None):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=toolchains_dir) as directory:
                zipfile.ZipFile(wheel).extractall(directory)
                Path(directory).rename(target)
                Path(directory).mkdir()
    return target


def told(error: TaskError, tail: Sequence[str]) -> TaskError:
    """The error that says why pip failed, as far as its last lines tell."""
    if isinstance(error, WorkerCancelled):
        return error
    text = "\n".join(tail)
    if found := NO_BUILD.search(text):
        return ToolchainUnavailable(
            f"pip finds no build of {found[1]} for this Python and machine",
            where=error.where,
            fix="tell pip where such builds are, then do it again: PIP_EXTRA_INDEX_URL (an index; PyTorch "
            "has one of CPU builds) or PIP_FIND_LINKS (a folder of wheels)",
        )
    if WRONG_HASH.search(text):
        what = "a downloaded package has none of the hashes that the lock names"
        return ToolchainCorrupt(
            what, where=error.where, fix="empty pip's cache (pip cache purge) and use a trusted index"
        )
    fix = "the same command again goes on from here; check the network and pip's configuration"
    return ToolchainInstallFailed(error.what, where=error.where, fix=fix)
