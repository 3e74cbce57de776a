"""Errors of the local stack and of the command line."""

from pathlib import Path
from typing import Self

from artifacts.errors import EngineryError

# Never by name from a package index: enginery is on none of them, and a package of that name is not ours.
INSTALL_FIX = "in the checkout of enginery: pip install '.[local]'"


class FlowError(EngineryError):
    """Base of all errors of this package."""


class BadArgument(FlowError):
    """An argument of a command is invalid."""

    exit_code = 2
    failure = "input"


class HostUnsuitable(FlowError):
    """None of the requested variants can be built on this host; the message gives a reason per variant."""

    exit_code = 4
    failure = "unsupported"


class ExtraMissing(FlowError):
    """A command needs packages of an extra that is not installed."""

    exit_code = 2
    failure = "unsupported"


class PortBusy(FlowError):
    """A requested port is taken, or is not a port."""

    exit_code = 2
    failure = "input"


class ComponentFailed(FlowError):
    """A component of the local stack did not start or become ready; the error has the end of its log."""


class CredentialsDamaged(FlowError):
    """A file of the local stack does not hold the credentials that it is for."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the error for a file."""
        return cls(
            "the credentials of the local stack cannot be read",
            where=str(path),
            fix="remove the file, then run `enginery up`: it makes new ones, and keeps all data",
        )


class PrefectUnreachable(FlowError):
    """The configured Prefect server does not answer."""

    exit_code = 5


class StackDown(FlowError):
    """The local stack, or a component of it, is not running."""

    exit_code = 5
