"""AOTInductor packages: how one is opened with weights from elsewhere, and what an iteration returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.workers.completions_server import sampling
from tasks.workers.completions_server.engine import Draw, TokenScore


@dataclass(frozen=True)
class AotStep:
    """Result of one iteration: each row's greedy next token, and the logits [rows, vocabulary].

    The logits may be overwritten by the next iteration.
    """

    tokens: list[int]
    logits: torch.Tensor

    def choose(self, rows: Sequence[int], draws: Sequence[Draw]) -> list[int]:
        """The next tokens of some rows, chosen where the logits are."""
        return sampling.choose(self.logits[list(rows)], draws)

    def score(self, row: int, token: int, alternatives: int) -> TokenScore:
        """Log-probabilities of one row's token and of the likeliest ones, computed in float32."""
        logprobs = torch.log_softmax(self.logits[row].float(), dim=-1)
        values, ids = torch.topk(logprobs, alternatives)
        top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
        return TokenScore(float(logprobs[token]), top)


def open_graph(package: Path, weights: Mapping[str, torch.Tensor]) -> Any:
    """Load a package and let it read these weights, which the caller must keep."""
    # torch's public loader probes for a compiler and warns about the build host's vector width; neither
    # matters here. Single-threaded: one call at a time, and nothing that a CUDA graph could not hold.
    loader = torch._C._aoti.AOTIModelPackageLoader(str(package), "model", True, 1, -1)  # noqa: SLF001
    wanted = {name: weights[name] for name in loader.get_constant_fqns()}
    loader.load_constants(wanted, False, False, True)  # whole or not is seen above; the weights stay ours
    return loader
