"""The provider of toolchains that are installed from their locks."""

from tasks.toolchains.host_checks import Obstacle
from tasks.toolchains.providers.interface import OnProgress, Provider, Wanted
from tasks.toolchains.providers.lock.install import ensure_declared, status
from tasks.toolchains.providers.lock.installation import PROVIDER
from tasks.toolchains.providers.lock.readiness import obstacles
from tasks.toolchains.records import NotInstalled, Toolchain


class LockProvider(Provider):
    """Installs exact versions with hashes into an environment of ours; serves whatever has no setting."""

    name = PROVIDER
    key = None

    def obstacles(self, wanted: Wanted) -> tuple[Obstacle, ...]:
        """Of the host: machine, driver, C library, interpreter, programs, wheels, disk."""
        return obstacles(wanted.declared, wanted.settings)

    def status(self, wanted: Wanted) -> Toolchain | NotInstalled:
        """What is installed, or why it is not."""
        return status(wanted.declared, wanted.settings)

    def ensure(self, wanted: Wanted, on_progress: OnProgress) -> Toolchain:
        """Install it unless it is there."""
        return ensure_declared(wanted.declared, wanted.settings, on_progress)
