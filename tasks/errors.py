"""Errors of the pipeline's stages.

Each class has an exit code and a failure class. The failure class says what a failed run is due to: it is the
first word of the state's message in Prefect, and of the reason in the nightly summary. It decides nothing.
What is retried is decided by the classes in `tasks.prefect_tasks`, and a nightly run goes on with the next
spec after any error.
"""

from typing import ClassVar

from artifacts.errors import EngineryError, FailureClass


class TaskError(EngineryError):
    """Base of all errors of this package."""


class WorkerFailed(TaskError):
    """A worker ended without an answer; the message gives exit code, signal or time limit."""


class WorkerOutOfMemory(WorkerFailed):
    """A worker was killed because memory ran out, or its tool reported that."""

    failure = "out-of-memory"


class WorkerCancelled(WorkerFailed):
    """A worker was stopped because its run was cancelled or its process was asked to end."""


class WorkerRefused(TaskError):
    """A worker answered that it cannot do what was asked; the message is the worker's own."""

    failure: ClassVar[FailureClass] = "unsupported"


class WorkerRefusedInput(WorkerRefused):
    """A worker answered that its request, checkpoint or data is invalid."""

    exit_code = 2
    failure = "input"


class EngineWrong(TaskError):
    """An engine that was just built does not compute what the eager model computes."""

    failure = "regression"


class ServerNotReady(WorkerFailed):
    """A server did not answer its readiness probe in time, or ended before it did."""


class PortUnusable(TaskError):
    """A server cannot listen on the requested address."""

    exit_code = 2
    failure = "input"


class GpusUnavailable(TaskError):
    """This host does not have as many GPUs of the right kind as a job or server needs."""

    exit_code = 4
    failure = "unsupported"


class GpuNotReleased(TaskError):
    """The memory of a GPU is still in use after its server has ended, so the next one cannot start."""


class HostBusy(TaskError):
    """Others keep computing on this host, so that a speed measured now would be theirs as well."""


class HostBusyAfterLook(HostBusy):
    """The same after ratios had been looked at, which has spent a part of the permitted error."""


class PlacementImpossible(TaskError):
    """The placement of sides that was asked for is impossible on this host."""

    exit_code = 2
    failure = "unsupported"


class ToolRefused(WorkerFailed):
    """A tool ended with a message that is known to mean: not on this host, or not in this toolchain."""

    failure = "unsupported"


class ToolRefusedInput(WorkerFailed):
    """A tool ended with a message that is known to mean: not with this checkpoint, engine or setting."""

    failure = "input"


class ToolchainUnavailable(TaskError):
    """A toolchain is unavailable on this host; the message says why, and what to do."""

    exit_code = 4
    failure = "unsupported"


class ToolchainSettingInvalid(TaskError):
    """`[toolchains.NAME]` holds something that no provider of toolchains understands."""

    exit_code = 2
    failure = "input"


class ToolchainInstallFailed(TaskError):
    """The installation of a toolchain failed (network, disk, uv); a new attempt uses what was downloaded."""


class ToolchainCorrupt(TaskError):
    """A package is not, byte for byte, the one that the lock names."""

    exit_code = 6


class CheckpointUnavailable(TaskError):
    """The Hub has no such repository, revision or file, or does not allow reading it."""

    exit_code = 4
    failure = "input"


class RevisionNotPinned(TaskError):
    """A spec names a branch or tag instead of a commit, and does not set `track`."""

    exit_code = 2
    failure = "input"


class RecipeFileInvalid(TaskError):
    """A recipe file that a spec names does not exist, cannot be read, or has another digest."""

    exit_code = 2
    failure = "input"


class TextsInvalid(TaskError):
    """Texts cannot be used: no such split, unsupported format, a row without text, or too few texts."""

    exit_code = 2
    failure = "input"


class TokenizerForeign(TaskError):
    """An engine holds another tokenizer than the checkpoint that it is judged against."""


class CheckpointUnsupported(TaskError):
    """The checkpoint cannot be used: only pickles, no architecture, or an unreadable index or config."""

    exit_code = 2
    failure = "unsupported"


class CheckpointCorrupt(TaskError):
    """Downloaded bytes do not match the digest that the Hub declares."""

    exit_code = 6


class HubUnreachable(TaskError):
    """The Hub does not answer."""

    exit_code = 5


class CacheMissRefused(TaskError):
    """`--require-cached` was given, and a stage would have had to run."""

    exit_code = 3
    failure = "input"


class ServerRefusedRequest(TaskError):
    """A server refused a request with status 4xx; the message holds its own words."""

    failure = "unsupported"


class ServerBroke(TaskError):
    """A completions server answered 5xx or nonsense, closed the connection, or ended a stream early."""


class ServerSilent(TaskError):
    """A completions server did not finish a request within the time limit."""


class TooLittleText(TaskError):
    """Fewer held-out texts can be continued than the spec declares samples."""

    exit_code = 2
    failure = "input"


class ProtocolsDiffer(TaskError):
    """A result was measured under another protocol than the one that judges it."""

    exit_code = 2
    failure = "input"


class UnknownKind(TaskError):
    """There is no engine kind of this name."""

    exit_code = 2
    failure = "unsupported"


class UnknownSetting(TaskError):
    """A setting of the reference has no vLLM flag."""

    exit_code = 2
    failure = "input"


class OptionsClash(TaskError):
    """Options of an engine kind do not go together: its tool would refuse or silently override them."""

    exit_code = 2
    failure = "input"
