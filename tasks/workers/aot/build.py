"""The worker of aot-inductor: it compiles a checkpoint into an engine tree with torch.export and AOTInductor.

It runs in the toolchain `aot-cpu`; `request` defines what it is asked.
"""

import gc
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.workers.aot.config import BuildPlan, read_plan
from tasks.workers.aot.request import AotAdmission, AotParams, AotRequest
from tasks.workers.common.io import Refusal, run, say
from tasks.workers.common.requests import Result


def main(request: AotRequest) -> Result:
    """Check the request, compile, write the tree, and verify it."""
    plan = read_plan(request.inputs["checkpoint"], request.params, request.admission)
    compiler = _compiler()
    say(f"dtype {plan.dtype_reason}")

    # Heavy imports come only once the request is known to be possible.
    from tasks.workers.aot.compile import compile_decoder
    from tasks.workers.aot.model import cache_dimensions, load_decoder
    from tasks.workers.aot.tree import write_tree

    decoder = load_decoder(plan)
    package = request.output / "model.pt2"
    compiled = compile_decoder(decoder, plan.shape, plan.target, package)
    tools = {**_versions(), "g++": compiler}
    write_tree(plan, cache_dimensions(decoder.model), request.params, tools, request.output)
    del decoder
    gc.collect()
    agreement = _prove(plan, request.output)
    metrics: dict[str, Any] = {
        **asdict(compiled),
        "dtype": plan.dtype_reason,
        "package_bytes": package.stat().st_size,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "check": agreement,
    }
    return Result(metrics=metrics, tools=tools)


def _prove(plan: BuildPlan, tree: Path) -> dict[str, float]:
    """Load the finished tree as the server does, and compare it with the checkpoint."""
    import torch

    from tasks.workers.aot.check import YARDSTICKS, compare, eager_logits, ragged_cases, require
    from tasks.workers.aot.model import load_eager
    from tasks.workers.completions_server.aot_engine import AotEngine

    say("checking the engine against the eager model")
    engine = AotEngine(tree, plan.shape)
    eager = eager_logits(load_eager(plan, getattr(torch, plan.dtype)))
    reference = eager_logits(load_eager(plan, YARDSTICKS[plan.dtype]))
    agreement = compare(engine, eager, reference, ragged_cases(engine.limits, engine.vocab_size))
    say(f"error {agreement.engine_rms:.3g} rms, eager's own {agreement.eager_rms:.3g}")
    require(agreement, plan.dtype)
    rms, largest = agreement.allowed(plan.dtype)
    return {**asdict(agreement), "allowed_rms": rms, "allowed_max": largest}


def _compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        raise Refusal(
            "input",
            "no C++ compiler on this host",
            "g++ on PATH",
            "install g++ (Debian: apt-get install g++)",
        )
    return subprocess.run(
        [found, "-dumpfullversion"], check=True, capture_output=True, text=True
    ).stdout.strip()


def _versions() -> dict[str, str]:
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__}


def _fix_hash_seed() -> None:
    """Start this program again with fixed hashing: the order of sets shows in the code of Inductor."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  this very program


if __name__ == "__main__":
    _fix_hash_seed()
    run(main, AotParams, AotAdmission)
