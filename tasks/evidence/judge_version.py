"""Which version of the judge reached a verdict: the text of the code that judges, and what it computes with.

Invariants:
- Two equal versions make the same of the same measurements, to the digit.
- Code that only measures, shows or simulates is not part of it.
"""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from artifacts.canonical import Digest, digest_of, sha256_file
from artifacts.frozen import Frozen

TASKS = Path(__file__).parents[1]
# With all folders below them.
ROOMS = ("judging/decide", "judging/gates", "judging/results", "judging/statistics")
# What summarizes rounds lies next to what makes them; what is compared is decided here.
ALSO = ("judging/measure/summaries.py", "evidence/conclusion.py", "evidence/speeds.py")
LIBRARIES = ("numpy", "scipy", "pydantic")


class JudgeVersion(Frozen):
    """One version of the judge."""

    sources: Digest = Field(description="Digest of the source files that judge.")
    libraries: dict[str, str] = Field(
        description="Versions of Python and of the libraries that it computes with."
    )
    commit: str = Field(description="Commit of the pipeline; empty outside a checkout.")

    def is_the_same(self, other: "JudgeVersion") -> bool:
        """Whether both make the same of the same measurements, whatever commit they come from."""
        return (self.sources, self.libraries) == (other.sources, other.libraries)

    def text(self) -> str:
        """Write it as part of a sentence."""
        known = ", ".join(f"{name} {number}" for name, number in sorted(self.libraries.items()))
        commit = f", commit {self.commit[:12]}" if self.commit else ""
        return f"sources {self.sources[:12]}{commit}, {known}"


@cache
def this_judge() -> JudgeVersion:
    """Return the version of the judge that this process runs."""
    return JudgeVersion(
        sources=digest_of({name: sha256_file(path) for name, path in judging_files().items()}),
        libraries={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        commit=source_commit(),
    )


def judging_files() -> dict[str, Path]:
    """Return the source files that judge, by their path below `tasks`."""
    files = [path for room in ROOMS for path in (TASKS / room).rglob("*.py")]
    files += [*(TASKS / "judging").glob("*.py"), *(TASKS / name for name in ALSO)]
    return {path.relative_to(TASKS).as_posix(): path for path in files}


@cache
def source_commit() -> str:
    """Return the commit of the checkout that this code runs from; empty for an installed package."""
    here = str(Path(__file__).parent)
    asked = subprocess.run(
        ["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""
