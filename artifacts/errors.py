"""Errors of the store, of releases and of pulling.

Every error says what is wrong, where, and what to do next. Classes carry the exit code of the documented
table (README, "Exit codes"); only `flows.cli` turns an error into text and into that code.
"""

from typing import ClassVar


class ArtifactError(Exception):
    """Base of all errors of this package.

    Args:
        what: one sentence: what is wrong, with the value found.
        where: the file, key, address or field it is about.
        fix: what to do next, if possible the command to type.
    """

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


class NotFound(ArtifactError):
    """A release, channel, tree or blob that was asked for by name does not exist."""

    exit_code = 4
    failure = "input"


class NothingFits(ArtifactError):
    """A release exists, but none of its variants runs on this host."""

    exit_code = 4
    failure = "unsupported"


class StoreUnreachable(ArtifactError):
    """The S3 server does not answer, or refuses the credentials."""

    exit_code = 5


class IntegrityError(ArtifactError):
    """Bytes do not match the digest they are known by."""

    exit_code = 6
    failure = "regression"


class BadReference(ArtifactError):
    """A release reference or an argument that cannot be read."""

    exit_code = 2
    failure = "input"


class BadTree(ArtifactError):
    """A directory holds something that a tree cannot: a link, a special file, a name that is not portable."""

    failure = "input"


class AlreadyExists(ArtifactError):
    """Something immutable is there already, with other content."""

    failure = "input"


class LocalDiskError(ArtifactError):
    """This host's disk is full, read-only, or closed to this user."""


class Conflict(ArtifactError):
    """A conditional write lost against another writer."""
