"""Two versions of one toolchain: the one that this host uses, and the one that is rehearsed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifacts.settings import Settings
from tasks.errors import ToolchainSettingInvalid
from tasks.toolchains import Toolchain, declaration, declared, status

OPTION = "--toolchain"
LOCK_SUFFIX = ".txt"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A toolchain in two versions.

    Attributes:
        name: name of the toolchain.
        now: settings with which it is the version that is compared with.
        rehearsed: settings with which it is the version that is rehearsed.
    """

    name: str
    now: Settings
    rehearsed: Settings


def upgrade_of(asked: str, settings: Settings) -> Upgrade:
    """Return the two versions that `NAME=VERSION`, `NAME=LOCK` or `NAME=PYTHON` asks for.

    An interpreter or a lock is a version besides the one that the settings say. A version number chooses
    between the toolchain that this host adopted and the one that the shipped lock names; the other one is
    compared with.

    Raises:
        tasks.errors.ToolchainSettingInvalid: there is no such toolchain, or no such version of it.
    """
    name, equals, value = asked.partition("=")
    if not equals or not value or name not in declared():
        known = ", ".join(sorted(declared()))
        raise ToolchainSettingInvalid(
            f"{asked!r} names no version of a toolchain",
            where=OPTION,
            fix=f"write NAME=VERSION, NAME=LOCK{LOCK_SUFFIX} or NAME=PYTHON; the toolchains are: {known}",
        )
    path = Path(value).expanduser()
    if path.is_file():
        key = "lock" if path.suffix == LOCK_SUFFIX else "python"
        # Not resolved: the interpreter of a virtual environment is a link to that of the host.
        return Upgrade(name, settings, _with(settings, name, {key: str(path.absolute())}))
    if "/" in value:
        raise ToolchainSettingInvalid(
            f"there is no file {value}",
            where=f"{OPTION} {asked}",
            fix=f"name an interpreter or a lock (*{LOCK_SUFFIX}) that exists",
        )
    return _by_version(name, value, settings)


def _by_version(name: str, version: str, settings: Settings) -> Upgrade:
    locked = _with(settings, name, {"lock": str(declaration(name).lock_path)})
    if _version(name, settings) == version and declaration(name).tool_version() != version:
        return Upgrade(name, locked, settings)
    if declaration(name).tool_version() == version and _version(name, settings) not in {None, version}:
        return Upgrade(name, settings, locked)
    raise ToolchainSettingInvalid(
        f"this host has no version {version} of toolchain {name} besides the one that it uses; "
        f"{'; '.join(_known(name, settings))}",
        where=f"{OPTION} {name}={version}",
        fix=f"name an interpreter that has it ({OPTION} {name}=/path/to/python) or a lock "
        f"({OPTION} {name}=/path/to/lock{LOCK_SUFFIX})",
    )


def _known(name: str, settings: Settings) -> Iterator[str]:
    yield f"its lock names {declaration(name).tool_version()}"
    used = _version(name, settings)
    yield f"the settings say {used}" if used else "what the settings say is not installed"


def _version(name: str, settings: Settings) -> str | None:
    """Return the version of the tool that the settings lead to; None if it is not there."""
    found = status(name, settings)
    return found.versions.get(declaration(name).tool) if isinstance(found, Toolchain) else None


def _with(settings: Settings, name: str, table: dict[str, Any]) -> Settings:
    return settings.model_copy(update={"toolchains": settings.toolchains | {name: table}})
