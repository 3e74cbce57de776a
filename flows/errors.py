"""Errors of the local stack and of the command line; the arguments are those of
`artifacts.errors.ArtifactError`.
"""

from typing import ClassVar


class FlowError(Exception):
    """Base of all errors of this package."""

    exit_code: ClassVar[int] = 1
    failure: ClassVar[str] = "infrastructure"

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        return "\n".join(
            filter(
                None, (self.what, self.where and f"  where: {self.where}", self.fix and f"  fix: {self.fix}")
            )
        )


class BadArgument(FlowError):
    """An argument of a command that cannot be used as given."""

    exit_code = 2
    failure = "input"


class ExtraMissing(FlowError):
    """A command needs packages of an extra that is not installed."""

    exit_code = 2
    failure = "unsupported"


class PortBusy(FlowError):
    """A port that was asked for by number is taken."""

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
