"""What an existing interpreter reports about itself, and how that differs from the lock.

Invariants:
- What counts is what its programs will import: the interpreter is asked in the environment of a job.
- The tool has to be the declared one in a version that may be adopted, on the declared machine type, for the
  declared accelerator. Everything else may differ from the lock, and is shown as a difference.
"""

from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from pydantic import Field

from artifacts.frozen import Frozen
from tasks.toolchains.declarations import Declaration, TorchBuild
from tasks.toolchains.host_checks import Obstacle, machine_obstacles, version_numbers
from tasks.toolchains.records import Difference

# The version that workers are written for.
OLDEST_PYTHON = "3.11"
# Runs in the interpreter that is asked, with names of programs as arguments: standard library only. If two
# distributions have the same name, the first counts, as for imports.
PROBE = """
import importlib.metadata, json, os, platform, shutil, sys, sysconfig
def under(path, roots):
    return any(os.path.realpath(path) in (root, os.path.join(root, "lib-dynload")) for root in roots)
library = [os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
paths = [path for path in sys.path if path and os.path.isdir(path) and not under(path, library)]
versions = {}
for found in importlib.metadata.distributions(path=paths):
    if found.metadata["Name"]:
        versions.setdefault(found.metadata["Name"], found.version)
print(json.dumps({
    "python": platform.python_version(), "machine": platform.machine(), "executable": sys.executable,
    "programs": sysconfig.get_path("scripts"), "search_path": os.environ.get("PATH", ""),
    "paths": paths, "versions": versions, "tools": [name for name in sys.argv[1:] if shutil.which(name)],
}))
"""


class Facts(Frozen):
    """What an interpreter reports about itself."""

    python: str = Field(description="Version, such as 3.12.3.")
    machine: str = Field(description="platform.machine().")
    executable: Path
    programs: Path = Field(description="Where its distributions put their programs.")
    search_path: str = Field(description="PATH where it runs.")
    tools: tuple[str, ...] = Field(default=(), description="Those of the named programs that it finds.")
    paths: tuple[Path, ...] = Field(description="Where its packages are, in the order of imports.")
    versions: dict[str, str] = Field(
        description="Version of each distribution, by the name that it gives itself."
    )

    def normalised(self) -> dict[str, str]:
        """Versions by normalised name."""
        return {canonicalize_name(name): version for name, version in self.versions.items()}


def facts_obstacles(declared: Declaration, facts: Facts, place: str) -> Iterator[Obstacle]:
    """What makes an interpreter unfit for this toolchain: machine type, Python, version of the tool."""
    yield from machine_obstacles(declared, facts.machine)
    fix = f"name another interpreter or image for {declared.name}, or none to install it from its lock"
    if version_numbers(facts.python) < version_numbers(OLDEST_PYTHON):
        reason = f"{place} is Python {facts.python}, and workers need {OLDEST_PYTHON} or newer"
        yield Obstacle(reason=reason, fix=fix)
    wanted, found = tool_specifier(declared), facts.normalised().get(declared.tool)
    if found is None:
        reason = f"toolchain {declared.name} needs {declared.tool} {wanted}, and {place} has none"
        yield Obstacle(reason=reason, fix=fix)
    elif not wanted.contains(found, prereleases=True):
        reason = f"toolchain {declared.name} needs {declared.tool} {wanted}, and {place} has {found}"
        yield Obstacle(reason=reason, fix=fix)


def torch_obstacles(declared: Declaration, torch: TorchBuild | None, place: str) -> Iterator[Obstacle]:
    """An obstacle if this build of torch cannot compute on the toolchain's accelerator."""
    if declared.accelerator == "cuda" and torch and torch.cuda is None:
        reason = f"toolchain {declared.name} computes on GPUs, and the torch of {place} is built without CUDA"
        yield Obstacle(reason=reason, fix="name an interpreter whose torch is built with CUDA")


def tool_specifier(declared: Declaration) -> SpecifierSet:
    """The versions of its tool that an interpreter or image of the host may have."""
    version = declared.adopts or declared.tool_version()
    return SpecifierSet(version if version[0] in "=~<>!" else f"=={version}")


def differences(declared: Declaration, versions: dict[str, str]) -> tuple[Difference, ...]:
    """What the lock names but is missing or differs, then what the lock does not name; by name."""
    locked = declared.pins() | {wheel.name: wheel.version for wheel in declared.wheelhouse}
    rows = (
        Difference(name=name, locked=locked.get(name), found=versions.get(name))
        for name in sorted(locked.keys() | versions.keys())
        if not _same(locked.get(name), versions.get(name))
    )
    return tuple(sorted(rows, key=lambda row: row.locked is None))


def _same(locked: str | None, found: str | None) -> bool:
    if locked is None or found is None:
        return locked == found
    return SpecifierSet(locked if locked[0] in "=~<>!" else f"=={locked}").contains(found, prereleases=True)
