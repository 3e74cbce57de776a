"""What judge and worker exchange: how the tool is asked, and what it took.

Inputs: `engine` is the engine tree; `dataset` a directory with the prompts; `checkpoint`, if the command
names it, the spec's checkpoint. The output is a directory, into which the tool writes its report.
"""

from dataclasses import dataclass

from tasks.workers.common.requests import Nothing, Request
from tasks.workers.common.tool_command import ToolCommand


@dataclass(frozen=True)
class TrtllmBenchParams:
    """How the tool is asked.

    Attributes:
        command: the command. Besides the placeholders of every command, it has those of the inputs: {engine},
            {dataset} and {checkpoint}.
        copies: files of the engine that the tool rewrites; it gets copies of them in {scratch}.
        fills: text files of the engine that name {tree}; it gets copies in {scratch} that name the engine's
            directory.
    """

    command: ToolCommand
    copies: tuple[str, ...] = ()
    fills: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchmarkRun:
    """How the tool ran; what it reports is a file of the output.

    Attributes:
        took_s: the seconds that it took.
    """

    took_s: float


TrtllmBenchRequest = Request[TrtllmBenchParams, Nothing]
