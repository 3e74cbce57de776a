"""What toolchains there are, as data (`toolchains.yaml`), and what their locks name.

Invariants:
- A lock names every distribution of its toolchain by exact version and hash, except torch, which the
  declaration pins.
- A lock holds no address and no path: where packages come from is the user's pip configuration.
"""

import re
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import Field

from artifacts.frozen import Frozen
from tasks.errors import ToolchainUnavailable

DECLARATIONS_FILE = Path(__file__).with_name("toolchains.yaml")
LOCKS_DIR = Path(__file__).with_name("locks")


class TorchBuild(Frozen):
    """One build of torch: the version says which, and the CUDA version that it was built with proves it."""

    version: str = Field(description="Exact version with its local part, such as 2.13.0+cpu.")
    cuda: str | None = Field(description="torch.version.cuda; none for CPU builds.")


class Declaration(Frozen):
    """One toolchain, as asked for. What is actually installed is told by its identity."""

    name: str = Field(description="Such as aot-cpu.")
    purpose: str = Field(description="One sentence.")
    tool: str = Field(description="The distribution that it is there for.")
    accelerator: Literal["cpu", "cuda"] = Field(description="What its kernels run on.")
    machine: str = Field(description="platform.machine() that its wheels are built for.")
    python: str = Field(pattern=r"^3\.\d+$", description="Minor version of the interpreter.")
    lock: str = Field(description="File name in the directory of locks.")
    torch: TorchBuild | None = Field(
        default=None, description="The build of torch; none where the tool has no use for it."
    )
    env: dict[str, str] = Field(default_factory=dict, description="Environment that the tool needs.")
    programs: dict[str, str] = Field(
        default_factory=dict,
        description="Programs that the host must have, each with the Debian package that holds it.",
    )
    approximate_bytes: int = Field(gt=0, description="Size once installed, for the check of free space.")
    smoke: str = Field(description="Python statement that must succeed in the installed toolchain.")
    left_out: dict[str, str] = Field(
        default_factory=dict,
        description="Declared dependencies that are kept out of the lock, each with the reason.",
    )
    lock_path: Path = Field(description="Absolute path of the lock.")

    def pins(self) -> dict[str, str]:
        """Every distribution that the toolchain holds, torch included, by normalised name."""
        pins = locked_versions(self.lock_path.read_text(encoding="utf-8"))
        return pins if self.torch is None else pins | {"torch": self.torch.version}


@cache
def declared(path: Path = DECLARATIONS_FILE, locks_dir: Path = LOCKS_DIR) -> dict[str, Declaration]:
    """All declared toolchains by name."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        name: Declaration(name=name, lock_path=locks_dir / entry["lock"], **entry)
        for name, entry in raw.items()
    }


def declaration(name: str) -> Declaration:
    """The toolchain of that name; raises ToolchainUnavailable for an unknown one."""
    try:
        return declared()[name]
    except KeyError:
        known = ", ".join(sorted(declared()))
        raise ToolchainUnavailable(
            f"there is no toolchain named {name!r}", where=DECLARATIONS_FILE.name, fix=f"use one of: {known}"
        ) from None


def locked_versions(lock: str) -> dict[str, str]:
    """The exact versions that a lock's text names, by normalised name.

    Raises ValueError for a line that is no exact pin: a lock that leaves a choice open is none.
    """
    joined = re.sub(r"\\\n", " ", lock)
    lines = (re.split(r"\s+--hash=|\s+#", line)[0].strip() for line in joined.splitlines())
    return dict(_exact_pin(line) for line in lines if line and not line.startswith("#"))


def _exact_pin(line: str) -> tuple[str, str]:
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise ValueError(f"not a pin: {line!r}") from error
    match list(requirement.specifier):
        case [only] if only.operator == "==" and not only.version.endswith(".*"):
            return canonicalize_name(requirement.name), only.version
    raise ValueError(f"not an exact pin: {line!r}")
