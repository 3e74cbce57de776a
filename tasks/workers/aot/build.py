"""The worker of aot-inductor: it compiles a checkpoint into an engine tree with torch.export and AOTInductor.

It runs in the toolchains `aot-cpu` and `aot-cuda`; `request` defines what it is asked.
"""

import gc
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.workers.aot.config import BuildPlan, read_plan
from tasks.workers.aot.request import AotAdmission, AotParams, AotRequest, Target
from tasks.workers.aot.tree import Built, write_tree
from tasks.workers.common.gpu_host import GpuFacts, gpu_facts, refuse_unless
from tasks.workers.common.io import Refusal, run, say
from tasks.workers.common.requests import Result
from tasks.workers.completions_server.facts import read_facts

if TYPE_CHECKING:
    from tasks.workers.aot.compile import Compiled

# An environment's own compiler may link another C++ library than the one that torch has loaded.
SYSTEM_COMPILER = Path("/usr/bin/g++")


def main(request: AotRequest) -> Result:
    """Check the request, compile, write the tree, and verify it."""
    plan = read_plan(request.inputs["checkpoint"], request.params, request.admission)
    gpu = _gpu(plan.target)
    compiler = _use_compiler()
    say(f"dtype {plan.dtype_reason}")
    # Heavy imports come only once the request is known to be possible.
    tools = {**_versions(gpu), "g++": compiler}
    compiled = _compile(plan, request, Built(tools, gpu))
    gc.collect()
    packages = sorted(request.output.glob("*.pt2"))
    metrics: dict[str, Any] = {
        **asdict(compiled),
        "dtype": plan.dtype_reason,
        "package_bytes": sum(package.stat().st_size for package in packages),
        "check": _prove(plan, request.output),
        **_peaks(plan),
    }
    return Result(metrics=metrics, tools=tools)


def _compile(plan: BuildPlan, request: AotRequest, built: Built) -> "Compiled":
    """Compile the graphs into the tree, with all that they need."""
    from tasks.workers.aot.checkpoint import load_model, weight_sources, write_constants
    from tasks.workers.aot.compile import compile_graphs, weights_of
    from tasks.workers.aot.model import cpu_graphs, dimensions, gpu_graphs

    model = load_model(plan)
    graphs = gpu_graphs(model, plan.shape) if built.gpu else cpu_graphs(model, plan.shape)
    compiled = compile_graphs(graphs, plan.target, request.output)
    names = weights_of([request.output / f"{graph.name}.pt2" for graph in graphs])
    sources, constants = weight_sources(plan, model, names)
    write_constants(constants, request.output)
    write_tree(plan, dimensions(model, plan.shape), sources, request.params, built, request.output)
    return compiled


def _prove(plan: BuildPlan, tree: Path) -> dict[str, float]:
    """Load the finished tree as the server does, and compare it with the checkpoint.

    One model is in memory at a time: the yardstick is twice as large as the checkpoint.
    """
    import torch

    from tasks.workers.aot.check import YARDSTICKS, compare, eager_logits, ragged_cases, require
    from tasks.workers.aot.checkpoint import load_eager
    from tasks.workers.completions_server.main import open_engine

    say("checking the engine against the eager model")
    cases = ragged_cases(plan.shape, read_facts(tree).vocab_size)
    reference = eager_logits(load_eager(plan, YARDSTICKS[plan.dtype]), cases)
    eager = eager_logits(load_eager(plan, getattr(torch, plan.dtype)), cases)
    engine = open_engine(tree, plan.shape)
    for way in engine.ways:
        engine.way = way
        agreement = compare(engine, eager, reference, cases)
        say(f"error {agreement.engine_rms:.3g} rms, eager's own {agreement.eager_rms:.3g}")
        require(agreement, plan.dtype)
    rms, largest = agreement.allowed(plan.dtype)
    return {**asdict(agreement), "allowed_rms": rms, "allowed_max": largest}


def _gpu(target: Target) -> GpuFacts | None:
    """The GPU to compile on, one of the target's; None if the engine computes on the processor."""
    if target.device == "cpu":
        return None
    facts = gpu_facts()
    refuse_unless(facts, target.gpu_names, target.compute_capability, count=1)
    return facts


def _peaks(plan: BuildPlan) -> dict[str, int]:
    import torch

    peaks = {"peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if plan.target.device == "cuda":
        peaks["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    return peaks


def _use_compiler() -> str:
    """Let torch compile with the system's g++, and return its version."""
    found = str(SYSTEM_COMPILER) if SYSTEM_COMPILER.is_file() else shutil.which("g++")
    if found is None:
        raise Refusal(
            "input",
            "no C++ compiler on this host",
            "g++ on PATH",
            "install g++ (Debian: apt-get install g++)",
        )
    os.environ["CXX"] = found
    return subprocess.run(
        [found, "-dumpfullversion"], check=True, capture_output=True, text=True
    ).stdout.strip()


def _versions(gpu: GpuFacts | None) -> dict[str, str]:
    import torch
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return versions if gpu is None else versions | {"cuda": str(torch.version.cuda)}


def _fix_hash_seed() -> None:
    """Start this program again with fixed hashing: the order of sets shows in the code of Inductor."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  this very program


if __name__ == "__main__":
    _fix_hash_seed()
    run(main, AotParams, AotAdmission)
