"""The base of every error of the project, and the errors of the store, of releases and of pulling."""

from typing import ClassVar, Literal

# What a failure is due to; the first word of a failed state's message in Prefect.
FailureClass = Literal["infrastructure", "input", "unsupported", "regression", "out-of-memory"]


class EngineryError(Exception):
    """The base of all errors of the project: what is wrong, where, and how to fix it; never raised directly.

    Each class carries its exit code (README, "Settings and exit codes") and its failure class. Only
    `flows.cli` turns an error into text and an exit code.

    Args:
        what: what is wrong, with the value found: in lower case, without a period.
        where: the file, key, address or field that it concerns.
        fix: what to do next, if possible the command to type; written like `what`.
    """

    exit_code: ClassVar[int] = 1
    failure: ClassVar[FailureClass] = "infrastructure"

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        where = f"  where: {self.where}" if self.where else ""
        fix = f"  fix: {self.fix}" if self.fix else ""
        return "\n".join(filter(None, (self.what, where, fix)))


RESTORE_FIX = (
    "restore this object from a backup, or run `enginery build SPEC --force` on a build host: it puts back "
    "every object that it makes again byte for byte"
)

STRANGER_FIX = (
    "find out who wrote it: anyone who may write to this bucket can do this; it is never accepted as what "
    "its key says"
)


class ArtifactError(EngineryError):
    """Base of all errors of this package."""


class SettingsInvalid(ArtifactError):
    """Variables or keys of `enginery.toml` are invalid; all that are read together are reported at once."""

    exit_code = 2
    failure = "input"


class NotFound(ArtifactError):
    """A release, channel, tree or blob that was asked for by name does not exist."""

    exit_code = 4
    failure = "input"


class NoFreePort(ArtifactError):
    """Every port of this host that a server could be given is taken."""


class NoSuchFile(NotFound):
    """A tree exists, but has no file of that name."""


class NothingFits(ArtifactError):
    """A release exists, but none of its variants runs on this host."""

    exit_code = 4
    failure = "unsupported"


class CannotServe(ArtifactError):
    """This host cannot serve the tree, or not with what is installed on it."""

    exit_code = 4
    failure = "unsupported"


class StoreUnreachable(ArtifactError):
    """The S3 server does not answer, or does not let this host in."""

    exit_code = 5


class StoreRefused(StoreUnreachable):
    """The S3 server refuses the credentials, clock or configuration of this host; waiting does not help."""


class IntegrityError(ArtifactError):
    """Bytes do not match the digest that they are known by."""

    exit_code = 6
    failure = "regression"


class BadReference(ArtifactError):
    """A release reference or an argument is invalid."""

    exit_code = 2
    failure = "input"


class StandInRefused(ArtifactError):
    """A tree made by a stand-in for a tool was about to be used for more than tests."""

    exit_code = 3
    failure = "input"


class BadTree(ArtifactError):
    """A directory holds something that a tree cannot: a link, a special file, a non-portable name."""

    failure = "input"


class AlreadyExists(ArtifactError):
    """Something immutable already exists, with different content."""

    failure = "input"


class InTheWay(ArtifactError):
    """Something that no pull made occupies the place of an install."""

    exit_code = 2
    failure = "input"


class BadPath(ArtifactError):
    """A path cannot be used as asked, such as a file where a directory is needed."""

    exit_code = 2
    failure = "input"


class LocalDiskError(ArtifactError):
    """This host's disk is full, read-only, or closed to this user."""


class Conflict(ArtifactError):
    """A conditional write lost to another writer."""
