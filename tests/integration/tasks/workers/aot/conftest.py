"""Small checkpoints and engines, each made once by the real tools."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.engines.built import PROGRAMS, Built, RunJob, variant
from support.toolchains.workers import staged, staged_file

from artifacts.settings import Settings
from tasks.kinds import kind_named
from tasks.toolchains import JobOutcome, Toolchain, Worker, ensure, run_job
from tasks.workers.aot.request import SERVER
from tasks.workers.common.requests import Nothing, Request

AOT = kind_named("aot-inductor").build_job(variant("none"))
# Llama, in bfloat16 and int8, is what the end-to-end tests build.
# By architecture: the recipe, and what the checkpoint is like.
ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen2ForCausalLM": ("none", {"config": {"tie_word_embeddings": True}, "shards": True}),
    "Qwen3ForCausalLM": ("int8_weight_only", {"dtype": "bfloat16", "config": {"head_dim": 32}}),
}


@pytest.fixture(scope="session")
def aot() -> Toolchain:
    return ensure("aot-cpu", Settings())


@pytest.fixture(scope="session")
def job(aot: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> RunJob:
    """Run a worker in the toolchain that builds."""
    tmp_path_factory.getbasetemp()  # made by the first call, which two threads must not make at once

    def run(worker: Path | str, params: Any, output: Path | None = None, **inputs: Path) -> JobOutcome:
        folder = tmp_path_factory.mktemp("job")
        output = output or folder / "output"
        output.mkdir()
        request = Request(params, Nothing() if isinstance(worker, Path) else AOT.admission, inputs, output)
        return run_job(
            aot,
            program(folder / "worker", worker),
            request,
            log=folder / "log",
            on_line=lambda _line: None,
            time_limit_s=600,
            # Two at a time: threads of one would wait for cores of the other.
            extra_env={"OMP_NUM_THREADS": "1"},
        )

    return run


def program(folder: Path, worker: Path | str) -> Worker:
    """The worker that builds, by its name, with the server that it ships; or a file of the tests."""
    return staged_file(folder, worker) if isinstance(worker, Path) else staged(folder, worker, SERVER)


@pytest.fixture(scope="session")
def checkpoints(job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each architecture, by its name."""
    defaults = {"config": {}, "dtype": "float32"}
    asked = {
        name: {**defaults, "architecture": name, **options, "recipe": recipe}
        for name, (recipe, options) in ENGINES.items()
    }
    folder = tmp_path_factory.mktemp("made") / "checkpoints"
    job(PROGRAMS / "make_checkpoint.py", {"checkpoints": asked}, output=folder)
    return folder


@pytest.fixture(scope="session")
def engines(checkpoints: Path, job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """An engine of each architecture, in all that the worker can do between them; two at a time."""

    def build(architecture: str, recipe: str) -> Built:
        checkpoint, tree = checkpoints / architecture, tmp_path_factory.mktemp(architecture) / "engine"
        plan = kind_named("aot-inductor").build_job(variant(recipe))
        params = replace(plan.params, toolchains={"build": "0" * 64})
        outcome = job(plan.worker, params, output=tree, checkpoint=checkpoint)
        return Built(tree, checkpoint, params, outcome)

    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = {name: pool.submit(build, name, recipe) for name, (recipe, _) in ENGINES.items()}
        return {name: made.result() for name, made in jobs.items()}


@pytest.fixture(scope="session")
def qwen2(engines: dict[str, Built]) -> Built:
    """The engine that is looked at from all sides: float32, so that tokens are comparable one by one."""
    return engines["Qwen2ForCausalLM"]


@pytest.fixture(scope="session")
def qwen3(engines: dict[str, Built]) -> Built:
    """In bfloat16, with int8 weights and heads of a width of their own."""
    return engines["Qwen3ForCausalLM"]
