"""The provider of toolchains that are installed from their locks."""

from artifacts.progress import Say
from tasks.toolchains.host_checks import Obstacle
from tasks.toolchains.providers.interface import Provider, ToolchainRequest
from tasks.toolchains.providers.lock.install import ensure_declared, status
from tasks.toolchains.providers.lock.installation import PROVIDER
from tasks.toolchains.providers.lock.readiness import obstacles
from tasks.toolchains.records import NotInstalled, Toolchain


class LockProvider(Provider):
    """Installs exact versions with hashes into an environment of our own; serves whatever has no setting."""

    name = PROVIDER
    key = None

    def obstacles(self, request: ToolchainRequest) -> tuple[Obstacle, ...]:
        """What the host lacks: machine type, driver, C library, interpreter, programs, wheels, disk."""
        return obstacles(request.declared, request.settings)

    def status(self, request: ToolchainRequest) -> Toolchain | NotInstalled:
        """What is installed, or why it is not."""
        return status(request.declared, request.settings)

    def ensure(self, request: ToolchainRequest, say: Say) -> Toolchain:
        """The toolchain, installed unless it is there already."""
        return ensure_declared(request.declared, request.settings, say)
