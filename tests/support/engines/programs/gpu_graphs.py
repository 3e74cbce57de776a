"""Job: the graphs for GPUs, traced as they are for a GPU and run on the processor, against the eager model.

Torch's flash attention has no kernels for processors, so its definition takes their place here, and a graph
is replayed by running it again; everything else (joined projections, the cache, positions, rows that are not
in use, the engine) is what runs on a GPU. inputs: checkpoints; params: {"builds": parameters of a build for a
GPU by the name of the checkpoint, "admission"}. metrics by that name: the agreement that the build checks,
which tensors of the checkpoint each weight is, which are constants, and whether a server would load the same.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import torch
from transformers import PreTrainedModel

from tasks.workers.aot.check import YARDSTICKS, compare, eager_logits, ragged_cases, require
from tasks.workers.aot.checkpoint import (
    join_projections,
    load_eager,
    load_model,
    weight_sources,
    write_constants,
)
from tasks.workers.aot.compile import compile_graphs, trace
from tasks.workers.aot.config import BuildPlan, read_plan
from tasks.workers.aot.model import Graph, dimensions, gpu_graphs
from tasks.workers.aot.request import AotAdmission, AotParams, Target
from tasks.workers.aot.tree import decoder_facts
from tasks.workers.common.io import run
from tasks.workers.common.requests import Nothing, Request, Result
from tasks.workers.completions_server import cuda_engine
from tasks.workers.completions_server.facts import FACTS_FILE, WEIGHTS_FOLDER

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
        found[name] = check(replace(plan, target=processor(plan.target)), output)
    return Result(found, tools={})


def check(plan: BuildPlan, tree: Path) -> dict[str, Any]:
    model = load_model(plan)
    join_projections(model)
    names = [f"model.{name}" for name, _ in (*model.named_parameters(), *model.named_buffers())]
    sources, constants = weight_sources(plan, model, names)
    (tree / WEIGHTS_FOLDER).symlink_to(plan.checkpoint)
    write_constants(constants, tree)
    facts = decoder_facts(plan, dimensions(model, plan.shape), sources)
    (tree / FACTS_FILE).write_text(json.dumps(facts))
    graphs = {f"{graph.name}.pt2": Traced(graph) for graph in gpu_graphs(model, plan.shape)}
    cases = ragged_cases(plan.shape, facts["vocab_size"])
    reference = eager_logits(load_eager(plan, YARDSTICKS[plan.dtype]), cases)
    eager = eager_logits(load_eager(plan, getattr(torch, plan.dtype)), cases)
    checks = {}
    for name in graphs:
        (tree / name).touch()
    with on_processor(graphs):
        engine = cuda_engine.CudaEngine(tree, plan.shape)
        for way in engine.ways:
            engine.way = way
            agreement = compare(engine, eager, reference, cases)
            require(agreement, plan.dtype)
            checks[way] = asdict(agreement)
        said = engine.prepare(1, pinned=True)
    held = dict(model.named_parameters()) | dict(model.named_buffers())
    return {
        "checks": checks,
        "said": said,
        "origins": {name: list(source.tensors) for name, source in sources.items()},
        "constants": sorted(constants),
        "unnamed": sorted({name for graph in graphs.values() for name in graph.unnamed}),
        "compiled": compiled_block(plan, model, tree) if plan.recipe == "fp8" else {},
        "equal": [same(engine.weights[name], held[name.removeprefix("model.")]) for name in names],
    }


def compiled_block(plan: BuildPlan, model: PreTrainedModel, folder: Path) -> dict[str, Any]:
    """The feed-forward block of the first layer, really compiled: which weights it reads, and its error."""
    torch.manual_seed(0)
    block = model.model.layers[0].mlp
    rows = torch.randn(16, model.config.hidden_size, dtype=getattr(torch, plan.dtype))
    compile_graphs([Graph("block", block, (rows,), (None,))], plan.target, folder)
    loader = torch._inductor.aoti_load_package(str(folder / "block.pt2"))
    names = loader.get_constant_fqns()
    held = dict(block.named_parameters()) | dict(block.named_buffers())
    loader.load_constants({name: held[name] for name in names}, check_full_update=True, user_managed=True)
    with torch.no_grad():
        error = (loader(rows).float() - block(rows).float()).abs().max().item()
    return {"reads": sorted(names), "error": error, "largest": block(rows).abs().max().item()}


def processor(target: Target) -> Target:
    return Target(target.machine, target.march, ())


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors have the same type, shape and bytes."""
    alike = (one.dtype, one.shape) == (other.dtype, other.shape)
    return alike and torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


class Traced:
    """A graph as the exporter traced it, in place of the package that would be compiled of it."""

    def __init__(self, graph: Graph) -> None:
        program = trace(graph)
        self.unnamed = set(program.constants) - {name for name, _ in graph.module.named_buffers()}
        self._program = program.module()
        self._before_cache = len(graph.inputs) - 1

    def run(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        first = self._before_cache
        return tuple(self._program(*inputs[:first], list(inputs[first:])))

    boxed_run = run


class Repeated:
    """What is captured, run again at each replay, into the same memory."""

    def __init__(self, step: Callable[[], torch.Tensor]) -> None:
        self._step = step
        self.kept = step()

    def replay(self) -> None:
        self.kept.copy_(self._step())


def record(step: Callable[[], torch.Tensor], _pool: object) -> tuple[Repeated, torch.Tensor]:
    repeated = Repeated(step)
    return repeated, repeated.kept


@contextmanager
def on_processor(graphs: dict[str, Traced]) -> Iterator[None]:
    """Let the engine for GPUs compute with these graphs on the processor."""
    nothing = MagicMock()
    stood_in = dict.fromkeys(("current_stream", "synchronize", "graph_pool_handle"), nothing)
    stood_in["memory_reserved"] = MagicMock(return_value=0)
    with (
        patch.multiple(torch.cuda, **stood_in),
        patch.object(torch.Tensor, "pin_memory", lambda tensor: tensor),
        patch.object(cuda_engine, "current_device", lambda: torch.device("cpu")),
        patch.object(cuda_engine, "record", record),
        patch.object(cuda_engine, "open_graph", lambda package, _weights: graphs[package.name]),
    ):
        yield


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
