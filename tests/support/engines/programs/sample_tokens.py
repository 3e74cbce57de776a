"""Job: choose tokens from logits.

params: {"cases": by name, {"logits": of each row, "draws": of each row, {"sampling", "prompt", "ends",
"generated"}, "times"}}; returns the tokens of each row, chosen `times` times one after another.
"""

from dataclasses import dataclass
from typing import Any

import torch

from tasks.workers.common.io import run
from tasks.workers.common.requests import Nothing, Request, Result
from tasks.workers.completions_server.engine import Draw, Sampling
from tasks.workers.completions_server.sampling import choose


@dataclass(frozen=True)
class Row:
    logits: tuple[float, ...]
    sampling: dict[str, Any]
    prompt: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    generated: tuple[int, ...] = ()


@dataclass(frozen=True)
class Asked:
    cases: dict[str, tuple[Row, ...]]
    times: int


def main(request: Request[Asked, Nothing]) -> Result:
    times = request.params.times
    return Result({name: tokens(rows, times) for name, rows in request.params.cases.items()}, tools={})


def tokens(rows: tuple[Row, ...], times: int) -> list[list[int]]:
    logits = torch.tensor([row.logits for row in rows])
    before = logits.clone()
    draws = [draw_of(row) for row in rows]
    repeated = choose(logits.repeat(times, 1), draws * times)
    alone = [choose(logits[index : index + 1], [draw_of(row)])[0] for index, row in enumerate(rows)]
    assert torch.equal(logits, before), "logits are also read for log-probabilities"
    chosen = [repeated[index :: len(rows)] for index in range(len(rows))]
    assert [row[0] for row in chosen] == alone, "a row depends on others"
    return chosen


def draw_of(row: Row) -> Draw:
    bias = tuple((int(token), value) for token, value in row.sampling.get("bias", {}).items())
    sampling = Sampling(**{**row.sampling, "bias": bias})
    return Draw(sampling, row.prompt, frozenset(row.ends), list(row.generated))


if __name__ == "__main__":
    run(main, Asked, Nothing)
