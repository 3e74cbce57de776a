"""Which toolchains a host has, for a plan: each is looked at once, as looking runs interpreters."""

from collections.abc import Iterable

from artifacts.settings import Settings
from tasks.toolchains import NotInstalled, planned_identity


class HostToolchains:
    """The toolchains of this host, as far as a plan has asked for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: dict[str, str | NotInstalled] = {}

    def identity(self, name: str) -> str | NotInstalled:
        """The identity of what is installed, or why it is not there."""
        if name not in self._found:
            self._found[name] = planned_identity(name, self._settings)
        return self._found[name]

    def identities(self, names: Iterable[str]) -> dict[str, str] | tuple[NotInstalled, ...]:
        """The identities of several, by name; where some are not there, those."""
        found = {name: self.identity(name) for name in names}
        absent = tuple(one for one in found.values() if isinstance(one, NotInstalled))
        return absent or {name: one for name, one in found.items() if isinstance(one, str)}
