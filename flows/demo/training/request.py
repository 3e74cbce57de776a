"""The request of the worker that trains: records that `make gpu-check` writes and the worker reads.

The input `tokenizer` is a directory with the demo's tokenizer, which the checkpoint gets as it is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.workers.common.requests import Nothing, Request


@dataclass(frozen=True)
class TrainingParams:
    """What decides the checkpoint.

    Attributes:
        config: arguments of LlamaConfig.
        minutes: how long it is trained.
        rows: sequences of 512 tokens per step.
        device: what it is trained on, as torch names it.
        seed: of weights and order.
        shard_bytes: size of a file of weights, at most.
        stdlib: directory whose sources are read; None: the library of the interpreter that trains.
    """

    config: dict[str, Any]
    minutes: float
    rows: int
    device: str
    seed: int
    shard_bytes: int
    stdlib: Path | None = None


TrainingJob = Request[TrainingParams, Nothing]
