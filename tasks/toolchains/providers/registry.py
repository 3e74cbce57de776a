"""All providers of toolchains, and which of them serves a toolchain on this host.

`[toolchains.NAME]` in the settings decides what serves a toolchain, otherwise what `enginery toolchain adopt`
recorded; if neither says anything, it is installed from its lock.
"""

import sys

from artifacts.progress import Say
from artifacts.settings import Settings
from tasks.errors import ToolchainSettingInvalid
from tasks.toolchains.declarations import Declaration, declaration
from tasks.toolchains.declarations import declared as declared_toolchains
from tasks.toolchains.host_checks import Obstacle, old_driver_obstacles, unavailable
from tasks.toolchains.providers.adoption import read_adoptions
from tasks.toolchains.providers.host import HostProvider
from tasks.toolchains.providers.image import ImageProvider
from tasks.toolchains.providers.interface import Provider, ToolchainRequest
from tasks.toolchains.providers.lock import LockProvider
from tasks.toolchains.records import NotInstalled, Toolchain

# It serves toolchains that nothing is said about.
DEFAULT = LockProvider()
PROVIDERS: tuple[Provider, ...] = (HostProvider(), ImageProvider(), DEFAULT)


def print_line(line: str) -> None:
    """Print one line of progress to stderr."""
    print(line, file=sys.stderr, flush=True)


def ensure(name: str, settings: Settings, say: Say = print_line) -> Toolchain:
    """The toolchain of that name, ready to run programs; installed if that is what its provider does.

    Raises ToolchainUnavailable (this host cannot have it: what is missing and how to get it),
    ToolchainInstallFailed (interrupted: try again), ToolchainCorrupt (what is there is not what was asked
    for) and ToolchainSettingInvalid.
    """
    request = request_for(declaration(name), settings)
    if too_old := tuple(old_driver_obstacles(request.declared)):
        raise unavailable(name, too_old)
    found = provider_of(request).ensure(request, say)
    if found.adopted:
        count = len(found.differences)
        say(f"{name}: {found.place} ({found.provider}), {count} packages differ from its lock")
    return _with_tool_env(found, settings)


def require_usable(name: str, settings: Settings) -> None:
    """Check that `ensure` would not refuse the toolchain, without installing anything.

    Raises ToolchainUnavailable and ToolchainSettingInvalid as `ensure` does.
    """
    request = request_for(declaration(name), settings)
    found = provider_of(request).status(request)
    obstacles = found.obstacles if isinstance(found, NotInstalled) else ()
    if in_the_way := (*old_driver_obstacles(request.declared), *obstacles):
        raise unavailable(name, tuple(dict.fromkeys(in_the_way)))


def status(name: str, settings: Settings) -> Toolchain | NotInstalled:
    """What `ensure` would find, without installing anything."""
    declared = declaration(name)
    _refuse_unknown(settings)
    try:
        request = request_for(declared, settings)
        provider = provider_of(request)
        found = provider.status(request)
    except ToolchainSettingInvalid as error:
        obstacle = Obstacle(reason=error.what, fix=f"{error.where}: {error.fix}")
        return NotInstalled(name=name, reason=error.what, fix=obstacle.fix, obstacles=(obstacle,))
    if isinstance(found, NotInstalled):
        return found.model_copy(update={"provider": provider.name})
    return _with_tool_env(found, settings)


def planned_identity(name: str, settings: Settings) -> str | NotInstalled:
    """The identity that a run would find now; known only if the toolchain is there, as it digests that."""
    found = status(name, settings)
    return found.identity if isinstance(found, Toolchain) else found


def request_for(declared: Declaration, settings: Settings) -> ToolchainRequest:
    """A declared toolchain with what this host's settings say about it.

    Raises:
        ToolchainSettingInvalid: the settings name a toolchain that does not exist.
    """
    _refuse_unknown(settings, declared.name)
    if table := settings.toolchains.get(declared.name):
        return ToolchainRequest(declared, settings, table, f"[toolchains.{declared.name}] in enginery.toml")
    adopted = read_adoptions(settings).get(declared.name, {})
    return ToolchainRequest(
        declared, settings, adopted, f"enginery toolchain forget {declared.name} removes it"
    )


def _refuse_unknown(settings: Settings, *also: str) -> None:
    if unknown := sorted(settings.toolchains.keys() - {*also} - declared_toolchains().keys()):
        known = ", ".join(sorted(declared_toolchains()))
        raise ToolchainSettingInvalid(
            f"the settings name {', '.join(unknown)}, and there is no such toolchain",
            where="[toolchains] in enginery.toml, or ENGINERY_TOOLCHAINS",
            fix=f"the toolchains are: {known}",
        )


def provider_of(request: ToolchainRequest) -> Provider:
    """The provider that the table names; raises ToolchainSettingInvalid if it names none, or several."""
    by_key: dict[str, Provider] = {provider.key: provider for provider in PROVIDERS}
    if not request.table:
        return DEFAULT
    match [provider for key, provider in by_key.items() if key in request.table]:
        case [only]:
            return only
        case found:
            keys = " or ".join(sorted(by_key))
            raise ToolchainSettingInvalid(
                f"the setting of toolchain {request.declared.name} names "
                f"{'several providers' if found else 'no provider'}: {', '.join(sorted(request.table))}",
                where=request.source,
                fix=f"give it exactly one of the keys {keys}",
            )


def _with_tool_env(toolchain: Toolchain, settings: Settings) -> Toolchain:
    return toolchain.model_copy(update={"tool_env": settings.tool_env})
