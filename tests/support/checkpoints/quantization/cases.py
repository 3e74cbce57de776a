"""Cases for `quantize_matrix`, with the params that the stage itself would send."""

import json
import os
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine_specs.spec import ResolvedVariant, load_spec, resolve_variants
from engine_specs.spec.variant import Calibration, Engine, Quantization
from engine_specs.tables import load_kv_caches, load_recipes, load_targets
from flows.demo.hub_repo import DEMO_HUB
from support.paths import TESTS
from tasks.stages.quantize import WORKER, admission, request_params
from tasks.toolchains import Toolchain
from tasks.workers.common.records import as_json
from tasks.workers.common.sources import closure, write_sources

DEMO = DEMO_HUB / "enginery" / "demo-llama"
DEMO_SPEC = TESTS.parent / "engine_specs" / "demo.yaml"
TEXTS, TOKENS = 4, 32
LIMIT_S = 300


@dataclass(frozen=True)
class Case:
    """One quantization of one small model."""

    kind: str
    architecture: str
    recipe: str
    kv_cache: str = "none"
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    more: dict[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """Name by which its result is found."""
        parallel = f"{self.tensor_parallel}x{self.pipeline_parallel}"
        parts = [self.architecture, self.recipe, self.kv_cache, parallel, self.label]
        return "-".join(part for part in parts if part)

    def variant(self) -> ResolvedVariant:
        """A variant for an H100 that asks for it, quantized on processors."""
        rows = (load_recipes()[self.recipe], load_kv_caches()[self.kv_cache])
        texts = Calibration(path="texts.jsonl", samples=TEXTS, sequence_length=TOKENS, seed=0)
        quantization = Quantization(
            recipe=self.recipe,
            kv_cache=self.kv_cache,
            device="cpu",
            calibration=texts if any(row.needs_calibration for row in rows) else None,
            **self.more,
        )
        update = {
            "engine": Engine(kind=self.kind),
            "target": load_targets()["h100-sxm"],
            "quantization": quantization,
            "tensor_parallel": self.tensor_parallel,
            "pipeline_parallel": self.pipeline_parallel,
        }
        return resolve_variants(load_spec(DEMO_SPEC))[0].model_copy(update=update)


def write_texts(folder: Path) -> None:
    """Write the calibration texts that every case uses."""
    source = DEMO_HUB / "datasets" / "enginery" / "demo-text" / "calibration.jsonl"
    lines = source.read_text().splitlines(keepends=True)[:TEXTS]
    (folder / "texts.jsonl").write_text("".join(lines))


def run_matrix(toolchain: Toolchain, cases: list[Case], folder: Path) -> dict[str, dict[str, Any]]:
    """Results by the cases' names; exports stand in `folder`, one directory a case."""
    requests = [
        {
            "name": case.name,
            "architecture": case.architecture,
            "params": as_json(request_params(case.variant(), {"architectures": [case.architecture]}, folder)),
            "admission": as_json(replace(admission(case.variant()), architectures=(case.architecture,))),
            "checkpoint": str(case.checkpoint) if case.checkpoint else None,
            "output": str(folder / case.name),
        }
        for case in cases
    ]
    write_texts(folder)
    (folder / "cases.json").write_text(json.dumps(requests))
    write_sources(closure(WORKER), folder / "worker")
    arguments = [DEMO, folder / "cases.json", folder / "results.json"]
    subprocess.run(
        [toolchain.python, TESTS / "support" / "checkpoints" / "quantization" / "matrix.py", *arguments],
        env=os.environ
        | {"PYTHONPATH": f"{folder / 'worker'}:{TESTS}", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=LIMIT_S,
    )
    found: dict[str, dict[str, Any]] = json.loads((folder / "results.json").read_text())
    return found
