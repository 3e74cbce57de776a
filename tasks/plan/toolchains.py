"""Which toolchains a host has, for a plan: each is examined once, as that runs interpreters."""

from collections.abc import Iterable

from artifacts.settings import Settings
from tasks.toolchains import NotInstalled, planned_identity


class HostToolchains:
    """The toolchains of this host, each examined when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: dict[str, str | NotInstalled] = {}

    def identity(self, name: str) -> str | NotInstalled:
        """Return the identity of a toolchain, or why it is not installed."""
        if name not in self._found:
            self._found[name] = planned_identity(name, self._settings)
        return self._found[name]

    def identities(self, names: Iterable[str]) -> dict[str, str] | tuple[NotInstalled, ...]:
        """Return the identities of several toolchains, by name; or those that are not installed."""
        found = {name: self.identity(name) for name in names}
        absent = tuple(one for one in found.values() if isinstance(one, NotInstalled))
        return absent or {name: one for name, one in found.items() if isinstance(one, str)}
