"""The provider of toolchains that are installed from their locks, or from another lock of the user."""

from pathlib import Path

from pydantic import Field, field_validator

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.toolchains.declarations import Declaration, locked_versions
from tasks.toolchains.host_checks import Obstacle
from tasks.toolchains.providers.facts import differences
from tasks.toolchains.providers.interface import Provider, ToolchainRequest
from tasks.toolchains.providers.lock.install import ensure_declared, status
from tasks.toolchains.providers.lock.installation import PROVIDER
from tasks.toolchains.providers.lock.readiness import obstacles
from tasks.toolchains.records import NotInstalled, Toolchain


class LockProvider(Provider):
    """Installs exact versions with hashes into an environment of our own; serves whatever has no setting."""

    name = PROVIDER
    key = "lock"

    def obstacles(self, request: ToolchainRequest) -> tuple[Obstacle, ...]:
        """What the host lacks: machine type, driver, C library, interpreter, programs, wheels, disk."""
        return obstacles(with_its_lock(request), request.settings)

    def status(self, request: ToolchainRequest) -> Toolchain | NotInstalled:
        """What is installed, or why it is not."""
        found = status(with_its_lock(request), request.settings)
        return found if isinstance(found, NotInstalled) else _compared(found, request)

    def ensure(self, request: ToolchainRequest, say: Say) -> Toolchain:
        """The toolchain, installed unless it is there already."""
        return _compared(ensure_declared(with_its_lock(request), request.settings, say), request)


class LockTable(Frozen):
    """The setting that selects another lock than the one that is shipped."""

    lock: Path = Field(description="The lock: exact pins with hashes, for the declared build of torch.")

    @field_validator("lock")
    @classmethod
    def _is_a_lock(cls, path: Path) -> Path:
        try:
            locked_versions(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is not a lock: {error}") from error
        return path


def with_its_lock(request: ToolchainRequest) -> Declaration:
    """Return the toolchain as declared, with the lock of the setting, if there is one."""
    if not request.table:
        return request.declared
    lock = request.read(LockTable).lock.absolute()
    return request.declared.model_copy(update={"lock": lock.name, "lock_path": lock})


def _compared(found: Toolchain, request: ToolchainRequest) -> Toolchain:
    """Return the toolchain with what differs from the lock that is shipped, if another one was used."""
    if not request.table:
        return found
    return found.model_copy(update={"differences": differences(request.declared, found.versions)})
