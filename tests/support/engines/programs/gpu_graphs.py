"""Job: the graphs for GPUs, traced as they are for a GPU and run on the processor, against the eager model.

Torch's flash attention has no kernels for processors, so its definition takes their place here; everything
else (joined projections, the cache, positions, rows that are not in use) is what is compiled. inputs:
checkpoints; params: {"builds": parameters of a build for a GPU by the name of the checkpoint, "admission"}.
metrics by that name: the agreement that the build checks, which tensors of the checkpoint each weight is,
which are constants, and whether a server would load the same.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tasks.workers.aot.check import YARDSTICKS, compare, eager_logits, ragged_cases, require
from tasks.workers.aot.checkpoint import (
    join_projections,
    load_eager,
    load_model,
    weight_sources,
    write_constants,
)
from tasks.workers.aot.compile import trace
from tasks.workers.aot.config import BuildPlan, read_plan
from tasks.workers.aot.model import dimensions, gpu_graphs
from tasks.workers.aot.request import AotAdmission, AotParams, Target
from tasks.workers.common.io import run
from tasks.workers.common.requests import Nothing, Request, Result
from tasks.workers.completions_server.facts import (
    WEIGHTS_FOLDER,
    bucket_of,
    padded_prompts,
    row_buckets,
)
from tasks.workers.completions_server.packages import AotStep
from tasks.workers.completions_server.weights import load_weights

# Its kernels are known for as long as it exists.
KERNELS = torch.library.Library("aten", "IMPL")


@dataclass(frozen=True)
class Asked:
    builds: dict[str, AotParams]
    admission: AotAdmission


def main(request: Request[Asked, Nothing]) -> Result:
    KERNELS.impl("_flash_attention_forward", flash, "CPU")
    found = {}
    for name, params in request.params.builds.items():
        output = request.output / name
        output.mkdir()
        plan = read_plan(request.inputs["checkpoints"] / name, params, request.params.admission)
        found[name] = check(on_processor(plan), output)
    return Result(found, tools={})


def check(plan: BuildPlan, output: Path) -> dict[str, Any]:
    engine = Traced(plan)
    cases = ragged_cases(plan.shape, engine.vocab_size)
    reference = eager_logits(load_eager(plan, YARDSTICKS[plan.dtype]), cases)
    eager = eager_logits(load_eager(plan, getattr(torch, plan.dtype)), cases)
    agreement = compare(engine, eager, reference, cases)  # type: ignore[arg-type]  an engine in all but name
    require(agreement, plan.dtype)
    sources, constants = weight_sources(plan, engine.model, engine.names)
    (output / WEIGHTS_FOLDER).symlink_to(plan.checkpoint)
    write_constants(constants, output)
    loaded = load_weights(output, sources, torch.device("cpu"))
    held = dict(engine.model.named_parameters()) | dict(engine.model.named_buffers())
    return {
        "check": asdict(agreement),
        "origins": {name: list(source.tensors) for name, source in sources.items()},
        "constants": sorted(constants),
        "equal": [same(loaded[name], held[name.removeprefix("model.")]) for name in engine.names],
    }


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors have the same type, shape and bytes."""
    alike = (one.dtype, one.shape) == (other.dtype, other.shape)
    return alike and torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def on_processor(plan: BuildPlan) -> BuildPlan:
    return replace(plan, target=Target(plan.target.machine, plan.target.march, ()))


class Traced:
    """What a GPU's engine does with its graphs, without CUDA."""

    def __init__(self, plan: BuildPlan) -> None:
        self.limits = plan.shape
        self.model = load_model(plan)
        join_projections(self.model)
        self.vocab_size = self.model.config.vocab_size
        prompt, step = gpu_graphs(self.model, plan.shape)
        self.names = [f"model.{name}" for name, _ in self.model.named_parameters()]
        self.names += [f"model.{name}" for name, _ in self.model.named_buffers()]
        self.prompt, self.step = trace(prompt).module(), trace(step).module()
        self.queries = dimensions(self.model, plan.shape).step_queries
        like = prompt.inputs[-1]
        size = (plan.shape.max_batch_size, *like[0].shape[1:])
        self.cache = [torch.zeros(size, dtype=one.dtype) for one in like]

    def prefill(self, first_row: int, prompts: Sequence[Sequence[int]]) -> AotStep:
        width = max(map(len, prompts))
        tokens, positions = padded_prompts(prompts, width, self.limits.max_seq_len)
        last = torch.tensor([len(prompt) - 1 for prompt in prompts])
        rows = [one[first_row : first_row + len(prompts)] for one in self.cache]
        chosen, logits = self.prompt(torch.tensor(tokens), torch.tensor(positions), last, rows)
        return AotStep(chosen.tolist(), logits)

    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> AotStep:
        bucket = bucket_of(row_buckets(self.limits.max_batch_size), len(tokens))
        unused = bucket - len(tokens)
        ids = torch.tensor([*tokens, *[0] * unused])
        places = torch.tensor([*positions, *[self.limits.max_seq_len] * unused])
        used = torch.tensor([*[position + 1 for position in positions], *[1] * unused], dtype=torch.int32)
        starts = torch.arange(bucket + 1, dtype=torch.int32)
        slots = starts * (self.limits.max_seq_len + 1)
        cache = [one[:bucket] for one in self.cache]
        chosen, logits = self.step(ids, places, used, starts * self.queries, slots, cache)
        return AotStep(chosen[: len(tokens)].tolist(), logits[: len(tokens)])


def flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    rows: torch.Tensor | None,
    starts: torch.Tensor | None,
    most_queries: int,
    most_keys: int,
    dropout: float,
    causal: bool,
    debug: bool,
    *,
    scale: float | None = None,
    seqused_k: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, ...]:
    """What the operator is documented to compute, for the two ways in which it is called."""
    assert not debug
    assert dropout == 0
    scale = scale or 1 / math.sqrt(query.shape[-1])
    if rows is None:
        out = torch.stack(
            [attend(*one, causal=causal, scale=scale) for one in zip(query, key, value, strict=True)]
        )
    else:
        assert starts is not None
        assert seqused_k is not None
        assert {one.dtype for one in (rows, starts, seqused_k)} == {torch.int32}
        assert rows.tolist() == list(range(0, len(query) + 1, most_queries))
        assert int(seqused_k.max()) <= most_keys
        used = zip(rows.tolist(), starts.tolist(), seqused_k.tolist(), strict=False)
        found = [
            attend(
                query[row : row + most_queries], key[a : a + n], value[a : a + n], causal=False, scale=scale
            )
            for row, a, n in used
        ]
        out = torch.cat(found)
    nothing = torch.empty(0)
    return out.to(query.dtype), nothing, nothing, nothing, nothing


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, causal: bool, scale: float
) -> torch.Tensor:
    """Query [tokens, heads, width], key and value [slots, key_heads, width]; in float32."""
    group = query.shape[1] // key.shape[1]
    keys, values = (part.float().repeat_interleave(group, dim=1) for part in (key, value))
    scores = torch.einsum("thd,shd->hts", query.float(), keys) * scale
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf)
    return torch.einsum("hts,shd->thd", scores.softmax(-1), values)


if __name__ == "__main__":
    run(main, Asked, Nothing)
