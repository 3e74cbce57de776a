"""Job: hold an engine tree against its checkpoint as the build does, as it is and with one weight damaged.

inputs: tree, checkpoint; params: {"build": parameters of the build, "weight": name, "factor"}. An engine that
was built from other weights is a wrong engine. Also tries calls that must be refused.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tasks.workers.aot.check import YARDSTICKS, compare, eager_logits, ragged_cases, require
from tasks.workers.aot.checkpoint import load_eager
from tasks.workers.aot.config import BuildPlan, read_plan
from tasks.workers.aot.request import AotAdmission, AotParams
from tasks.workers.common.io import Refusal, run
from tasks.workers.common.requests import Nothing, Request, Result
from tasks.workers.completions_server.aot_engine import AotEngine
from tasks.workers.completions_server.engine import BeyondLimits


@dataclass(frozen=True)
class Asked:
    build: AotParams
    admission: AotAdmission
    weight: str
    factor: float


def main(request: Request[Asked, Nothing]) -> Result:
    checkpoint = request.output / "checkpoint"
    shutil.copytree(request.inputs["checkpoint"], checkpoint)
    plan = read_plan(checkpoint, request.params.build, request.params.admission)
    engine = AotEngine(request.inputs["tree"], plan.shape)
    refused_calls = [refused(engine, call) for call in IMPOSSIBLE]
    right = verdict(engine, plan)
    damage(checkpoint, request.params.weight, request.params.factor)
    found = {"refused_calls": refused_calls, "right": right, "wrong": verdict(engine, plan)}
    return Result(found, tools={})


def verdict(engine: AotEngine, plan: BuildPlan) -> str:
    """What the build's own check says: the class of failure and its words, or nothing."""
    cases = ragged_cases(engine.limits, engine.vocab_size)
    eager = eager_logits(load_eager(plan, getattr(torch, plan.dtype)), cases)
    reference = eager_logits(load_eager(plan, YARDSTICKS[plan.dtype]), cases)
    agreement = compare(engine, eager, reference, cases)
    try:
        require(agreement, plan.dtype)
    except Refusal as refusal:
        return f"{refusal.failure}: {refusal.what}"
    return ""


def damage(checkpoint: Path, weight: str, factor: float) -> None:
    for shard in checkpoint.glob("*.safetensors"):
        tensors = load_file(shard)
        if weight in tensors:
            tensors[weight] = tensors[weight] * factor
            save_file(tensors, shard, metadata={"format": "pt"})


# Calls that the compiled code would answer by aborting the process, or by reading what is not its own.
IMPOSSIBLE = (
    lambda engine: engine.decode([1] * 5, [0] * 5),
    lambda engine: engine.decode([1], [96]),
    lambda engine: engine.decode([300], [0]),
    lambda engine: engine.decode([], []),
    lambda engine: engine.prefill(3, [[1], [1]]),
    lambda engine: engine.prefill(0, [[1] * 65]),
    lambda engine: engine.prefill(0, [[]]),
    lambda engine: engine.prefill(0, [[-1]]),
)


def refused(engine: AotEngine, call: object) -> bool:
    try:
        call(engine)
    except BeyondLimits:
        return True
    return False


if __name__ == "__main__":
    run(main, Asked, Nothing)
