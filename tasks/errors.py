"""Errors of the pipeline's stages, with the failure class that drives retry, notification or stop."""

from typing import ClassVar

from artifacts.errors import EngineryError, FailureClass


class TaskError(EngineryError):
    """Base of all errors of this package."""


class WorkerFailed(TaskError):
    """A worker ended without an answer: exit code, signal or time limit, with the tail of its log."""


class WorkerOutOfMemory(WorkerFailed):
    """A worker was killed for memory, or its tool said that memory ran out."""

    failure = "out-of-memory"


class WorkerCancelled(WorkerFailed):
    """A worker was stopped because its run was cancelled or its process was told to end."""


class WorkerRefused(TaskError):
    """A worker answered that it cannot do what was asked; the sentences are the worker's own."""

    failure: ClassVar[FailureClass] = "unsupported"


class WorkerRefusedInput(WorkerRefused):
    """A worker answered that what it was given (request, checkpoint, data) is wrong."""

    exit_code = 2
    failure = "input"


class EngineWrong(TaskError):
    """A freshly built engine does not compute what the eager model computes."""

    failure = "regression"


class ServerNotReady(WorkerFailed):
    """A server never answered its readiness probe in time, or ended before it did."""


class PortUnusable(TaskError):
    """A server cannot listen on the address that was asked for."""

    exit_code = 2
    failure = "input"


class GpusUnavailable(TaskError):
    """This host never has as many of the GPUs that a job or a server computes on."""

    failure = "unsupported"


class ToolRefused(WorkerFailed):
    """A tool ended with a message that is known to mean: not on this host, or not with this toolchain."""

    failure = "unsupported"


class ToolRefusedInput(WorkerFailed):
    """A tool ended with a message that is known to mean: not with this checkpoint, engine or setting."""

    failure = "input"


class ToolchainUnavailable(TaskError):
    """A toolchain cannot be installed on this host; says exactly why and what to do."""

    exit_code = 4
    failure = "unsupported"


class ToolchainSettingInvalid(TaskError):
    """`[toolchains.NAME]` holds something that no provider of toolchains understands."""

    exit_code = 2
    failure = "input"


class ToolchainInstallFailed(TaskError):
    """Installing a toolchain broke off (network, disk, uv); doing it again uses what was downloaded."""


class ToolchainCorrupt(TaskError):
    """A package is not, byte for byte, what the lock names."""

    exit_code = 6


class CheckpointUnavailable(TaskError):
    """The Hub has no such repository, revision or file, or does not let us read it."""

    exit_code = 4
    failure = "input"


class RevisionNotPinned(TaskError):
    """A branch or tag stands where a commit has to, and the spec does not track it."""

    exit_code = 2
    failure = "input"


class RecipeFileInvalid(TaskError):
    """A recipe file that a spec names is not there, cannot be read, or is not the one it was."""

    exit_code = 2
    failure = "input"


class TextsInvalid(TaskError):
    """Texts cannot be used: no such split, another format, a row without text, or too few of them."""

    exit_code = 2
    failure = "input"


class CheckpointUnsupported(TaskError):
    """The checkpoint cannot be used: pickles only, unknown architecture, a recipe that does not fit."""

    exit_code = 2
    failure = "unsupported"


class CheckpointCorrupt(TaskError):
    """Downloaded bytes do not match the digest that the Hub declares."""

    exit_code = 6


class HubUnreachable(TaskError):
    """The Hub does not answer."""

    exit_code = 5


class CacheMissRefused(TaskError):
    """`--require-cached` was given and a stage would have had to run."""

    exit_code = 3
    failure = "input"


class ServerRefusedRequest(TaskError):
    """A server answered 4xx: it does not serve what was asked; carries its own message."""

    failure = "unsupported"


class ServerBroke(TaskError):
    """A completions server answered 5xx, closed the connection, ended a stream early or answered nonsense."""


class ServerSilent(TaskError):
    """A completions server did not finish a request within its time limit."""


class TooLittleText(TaskError):
    """Fewer held-out texts can be continued than samples were declared."""

    exit_code = 2
    failure = "input"


class ProtocolsDiffer(TaskError):
    """Two results were made by unlike protocols, so a comparison of them would mean nothing."""

    exit_code = 2
    failure = "input"


class UnknownKind(TaskError):
    """An engine kind that no code builds."""

    exit_code = 2
    failure = "unsupported"


class UnknownSetting(TaskError):
    """A setting of the reference that has no flag of vLLM."""

    exit_code = 2
    failure = "input"


class OptionsClash(TaskError):
    """Options of a kind that its tool would refuse together, or take back without an error."""

    exit_code = 2
    failure = "input"
