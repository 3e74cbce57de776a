"""The toolchains that exist, as data (`toolchains.yaml`), and what their locks name.

Invariants:
- A lock names every distribution of its toolchain by exact version and hash, except a torch whose version has
  a local part (the declaration pins it) and what the wheelhouse holds (its digests come with it).
- A lock holds no address and no path: where packages come from is the user's configuration of pip or uv.
- There is one lock per machine type. A declaration is for this host's machine type or, if no lock is, for the
  first type that has one: installing then reports that the host is of another type.
"""

import platform
import re
from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import Field, model_validator

from artifacts.frozen import Frozen
from engine_specs.tables import EndOfLife
from tasks.errors import ToolchainUnavailable

DECLARATIONS_FILE = Path(__file__).with_name("toolchains.yaml")
LOCKS_DIR = Path(__file__).with_name("locks")


class TorchBuild(Frozen):
    """One build of torch: its version identifies it, and the CUDA version it was built with proves it."""

    version: str = Field(
        description="Exact version. With a local part, such as 2.13.0+cpu: a build that no lock can name; "
        "without one: the build that the lock names with its hashes."
    )
    cuda: str | None = Field(description="torch.version.cuda; none for CPU builds.")

    @property
    def in_lock(self) -> bool:
        """Whether the lock names this build."""
        return "+" not in self.version

    def allows(self, found: "TorchBuild") -> bool:
        """Whether the build that torch reports can be this one.

        A build from an index shows its local part only once it is imported.
        """
        version = found.version.partition("+")[0] if self.in_lock else found.version
        return (version, found.cuda) == (self.version, self.cuda)

    def __str__(self) -> str:
        return f"{self.version} ({f'CUDA {self.cuda}' if self.cuda else 'no CUDA'})"


class WheelRequirement(Frozen):
    """A distribution that comes from the wheelhouse."""

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="Normalised name.")
    version: str = Field(description="Accepted versions, such as ==1.2.1 or ~=10.14.1.")
    source: str = Field(description="Where such wheels can be found.")

    @property
    def specifier(self) -> SpecifierSet:
        """The accepted versions; a release candidate only if it is named."""
        return SpecifierSet(self.version)


class DriverFloor(Frozen):
    """The oldest NVIDIA driver that runs the programs of a toolchain."""

    floor: str = Field(pattern=r"^\d+(\.\d+)*$", description="Its version, such as 580 or 525.60.13.")
    source: str = Field(min_length=10, description="How that is known.")


class Declaration(Frozen):
    """One toolchain, as asked for. Its identity says what is actually installed."""

    name: str = Field(description="Such as aot-cpu.")
    purpose: str = Field(description="One sentence.")
    tool: str = Field(description="The distribution that it exists for.")
    adopts: str | None = Field(
        default=None,
        description="Versions of the tool that may be adopted, such as >=0.26,<0.33; none: the locked one.",
    )
    accelerator: Literal["cpu", "cuda"] = Field(description="What its kernels run on.")
    driver: DriverFloor | None = Field(
        default=None, description="The oldest NVIDIA driver that it runs with; none if it computes on CPUs."
    )
    machine: str = Field(description="platform.machine() that its wheels are built for.")
    python: str = Field(pattern=r"^3\.\d+$", description="Minor version of the interpreter.")
    glibc: str = Field(
        default="2.28", pattern=r"^2\.\d+$", description="Oldest C library that all its wheels work with."
    )
    lock: str = Field(description="File name in the directory of locks.")
    torch: TorchBuild | None = Field(
        default=None, description="The build of torch; none if the tool does not use it."
    )
    env: dict[str, str] = Field(default_factory=dict, description="Environment that the tool needs.")
    wheelhouse: tuple[WheelRequirement, ...] = Field(
        default=(), description="Distributions that come from the wheelhouse; torch may be one of them."
    )
    programs: dict[str, str] = Field(
        default_factory=dict,
        description="Programs that the host must have, each with the Debian package that contains it.",
    )
    compiles: bool = Field(
        default=False,
        description="Whether it calls compilers, with paths below HOME, ENGINERY_HOME and its own directory.",
    )
    approximate_bytes: int = Field(
        gt=0, description="Size once installed, without the wheelhouse's wheels; for the check of free space."
    )
    smoke: str = Field(description="Python statement that must succeed in the installed toolchain.")
    left_out: dict[str, str] = Field(
        default_factory=dict,
        description="Declared dependencies that are kept out of the lock, each with the reason.",
    )
    end_of_life: EndOfLife | None = Field(
        default=None, description="End of the tool's upstream line; none while that is maintained."
    )
    lock_path: Path = Field(description="Absolute path of the lock.")

    @model_validator(mode="after")
    def _cuda_needs_a_driver(self) -> Self:
        if (self.accelerator == "cuda") != (self.driver is not None):
            raise ValueError(
                "toolchains that compute on NVIDIA GPUs, and no others, name their oldest driver"
            )
        return self

    @property
    def pinned_torch(self) -> str | None:
        """The version of torch that is installed next to the lock, if neither lock nor wheelhouse has it."""
        in_wheelhouse = any(wheel.name == "torch" for wheel in self.wheelhouse)
        return None if self.torch is None or self.torch.in_lock or in_wheelhouse else self.torch.version

    def pins(self) -> dict[str, str]:
        """Every distribution that the toolchain holds, except those of the wheelhouse, by normalised name."""
        pins = locked_versions(self.lock_path.read_text(encoding="utf-8"))
        return pins if self.pinned_torch is None else pins | {"torch": self.pinned_torch}

    def tool_version(self) -> str:
        """The version of the tool, as far as it is declared."""
        wheels = {wheel.name: wheel.version.removeprefix("==") for wheel in self.wheelhouse}
        return (wheels | self.pins())[self.tool]


@cache
def declared(
    path: Path = DECLARATIONS_FILE, locks_dir: Path = LOCKS_DIR, machine: str = platform.machine()
) -> dict[str, Declaration]:
    """All toolchains by name, as declared for hosts of this machine type."""
    raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return {name: _declaration(name, entry, locks_dir, machine) for name, entry in raw.items()}


def _declaration(name: str, entry: dict[str, Any], locks_dir: Path, machine: str) -> Declaration:
    locks: dict[str, str] = entry.pop("locks")
    machine = machine if machine in locks else next(iter(locks))
    lock = locks[machine]
    return Declaration(name=name, machine=machine, lock=lock, lock_path=locks_dir / lock, **entry)


def end_of_life_warnings(names: Iterable[str], today: date) -> tuple[str, ...]:
    """One sentence per named toolchain whose upstream line has ended or will end, in the order of the names.

    Raises ToolchainUnavailable for an unknown name.
    """
    ends = [(name, declaration(name).end_of_life) for name in dict.fromkeys(names)]
    return tuple(end.warning(f"toolchain {name}", today) for name, end in ends if end is not None)


def declaration(name: str) -> Declaration:
    """The toolchain of that name; raises ToolchainUnavailable for an unknown one."""
    try:
        return declared()[name]
    except KeyError:
        known = ", ".join(sorted(declared()))
        raise ToolchainUnavailable(
            f"there is no toolchain named {name!r}", where=DECLARATIONS_FILE.name, fix=f"use one of: {known}"
        ) from None


def driver_floor(names: Iterable[str]) -> str | None:
    """The oldest NVIDIA driver that all of these toolchains run with; None if none of them needs one.

    Raises ToolchainUnavailable for an unknown name.
    """
    drivers = [driver.floor for name in names if (driver := declaration(name).driver) is not None]
    return max(drivers, key=Version, default=None)


def locked_versions(lock: str) -> dict[str, str]:
    """The exact versions that a lock's text names, by normalised name.

    Raises ValueError for a line that is not an exact pin: a lock leaves nothing to choose.
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
