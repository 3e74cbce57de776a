"""The record of a finished installation, the plan of one to be made, and the identities of both.

Invariants:
- The directory is named by what was asked for (pins, lock, interpreter, machine), so the same request finds
  it again.
- The identity says what is actually there: every file of every distribution, the build of torch, the
  interpreter, the host's compilers and the environment that the toolchain sets. It holds no path, so it is
  the same on every host.
- An installation without `INSTALLED.json` is unfinished; the file is written last and in one piece.
"""

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from artifacts.canonical import digest_of
from artifacts.frozen import Frozen
from tasks.toolchains.declarations import Declaration, TorchBuild
from tasks.toolchains.host_checks import HostProgram
from tasks.toolchains.providers.lock.content import Content
from tasks.toolchains.providers.lock.interpreter import Interpreter
from tasks.toolchains.records import Toolchain

PROVIDER = "lock"
MARKER = "INSTALLED.json"
# Raise it when a change to the installer makes other environments from the same lock.
LAYOUT = 1


class Installation(Frozen):
    """The content of `INSTALLED.json`."""

    format: Literal[1] = 1
    name: str
    python: str = Field(description="Version of the interpreter, such as 3.11.7.")
    machine: str
    distributions: dict[str, Content]
    torch: TorchBuild | None
    installed_bytes: int
    install_s: float


class Plan(Frozen):
    """Which toolchain to install, with what, and where."""

    declaration: Declaration
    interpreter: Interpreter
    programs: dict[str, HostProgram]
    toolchains_dir: Path
    temporary_dir: Path

    @property
    def root(self) -> Path:
        """The directory that this plan names."""
        return self.toolchains_dir / f"{self.declaration.name}-{self.digest[:16]}"

    @property
    def digest(self) -> str:
        """Digest of what is asked for."""
        lock = hashlib.sha256(self.declaration.lock_path.read_bytes()).hexdigest()
        asked = {
            "layout": LAYOUT,
            "name": self.declaration.name,
            "lock": lock,
            "torch": self.declaration.torch and self.declaration.torch.version,
            "python": self.interpreter.version,
            "machine": self.interpreter.machine,
        }
        wheels = {each.name: each.version for each in self.declaration.wheelhouse}
        return digest_of(asked | ({"wheelhouse": wheels} if wheels else {}))

    @property
    def python(self) -> Path:
        """The toolchain's interpreter."""
        return self.root / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its distributions are."""
        return self.root / "lib" / f"python{self.declaration.python}" / "site-packages"


def read_installation(root: Path) -> Installation | None:
    """The record of a finished installation in this directory, if there is one."""
    try:
        return Installation.model_validate_json((root / MARKER).read_bytes())
    except FileNotFoundError:
        return None


def write_installation(root: Path, installation: Installation) -> None:
    """Mark an installation as finished."""
    aside = root / f"{MARKER}.part"
    aside.write_text(installation.model_dump_json(indent=2), encoding="utf-8")
    os.replace(aside, root / MARKER)  # noqa: PTH105  atomic


def identity(installation: Installation, plan: Plan) -> str:
    """Digest of what is actually installed, and of the host programs that it works with, as they are now."""
    document = installation.model_dump(
        mode="json", include={"name", "python", "machine", "distributions", "torch"}
    )
    programs = {name: program.version for name, program in plan.programs.items()}
    return digest_of(document | {"programs": programs, "env": plan.declaration.env})


def as_toolchain(installation: Installation, plan: Plan) -> Toolchain:
    """The toolchain that jobs and servers are run with."""
    return Toolchain(
        name=installation.name,
        provider=PROVIDER,
        place=str(plan.root),
        root=plan.root,
        python=plan.python,
        bin_dir=plan.python.parent,
        accelerator=plan.declaration.accelerator,
        identity=identity(installation, plan),
        versions={name: content.version for name, content in installation.distributions.items()},
        env=plan.declaration.env,
        temporary_dir=plan.temporary_dir,
        program_dirs=tuple(dict.fromkeys(program.path.parent for program in plan.programs.values())),
    )
