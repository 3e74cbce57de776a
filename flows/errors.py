"""Errors of the local stack and of the command line."""

from artifacts.errors import EngineryError

# Not by its name from a package index: enginery is on none, and what has that name there is another's.
INSTALL_FIX = "in the checkout of enginery: pip install '.[local]'"


class FlowError(EngineryError):
    """Base of all errors of this package."""


class BadArgument(FlowError):
    """An argument of a command that cannot be used as given."""

    exit_code = 2
    failure = "input"


class HostUnsuited(FlowError):
    """Nothing of what was asked for can be built on this host; each variant's reason is in the message."""

    exit_code = 4
    failure = "unsupported"


class ExtraMissing(FlowError):
    """A command needs packages of an extra that is not installed."""

    exit_code = 2
    failure = "unsupported"


class PortBusy(FlowError):
    """A port that was asked for by number is taken, or there is none of that number."""

    exit_code = 2
    failure = "input"


class ComponentFailed(FlowError):
    """A part of the local stack did not start, or did not become ready; carries the tail of its log."""


class PrefectUnreachable(FlowError):
    """The Prefect server that was named does not answer."""

    exit_code = 5


class StackDown(FlowError):
    """The local stack, or a part of it, is not running."""

    exit_code = 5
