"""Engine directories for tests: what counts is engine.json and the files that it names."""

import hashlib
from pathlib import Path
from typing import Any

from artifacts.hosts import ENGINE_FILE, EngineManifest, HostRequirements, ServeCommand

TOOL_VERSION = "1.4.0rc1"
ARGUMENTS = "kv_cache_config:\n  free_gpu_memory_fraction: 0.9\ntensor_parallel_size: 2\n"
SERVE = ServeCommand(
    toolchain="tensorrt-llm-1.4",
    argv=("{bin}/trtllm-serve", "{tree}", "--config", "{tree}/llm_args.yaml", "--port", "{port}"),
    model="model",
)


def on_h200(count: int = 1, **changes: Any) -> HostRequirements:
    """What an engine that was built for H200 asks for."""
    asked: dict[str, Any] = {
        "machine": "x86_64",
        "gpu_names": ("NVIDIA H200",),
        "compute_capability": "9.0",
        "gpu_count": count,
        "driver_floor": "580.65.06",
    }
    return HostRequirements(**(asked | changes))


def tuned(**changes: Any) -> dict[str, Any]:
    """What a tuning cache of the engine below was measured on."""
    return {
        "path": "autotuner/cache.json",
        "gpu_name": "NVIDIA H200",
        "compute_capability": "9.0",
        "tool_version": TOOL_VERSION,
        "tensor_parallel": 2,
        "config_sha256": hashlib.sha256(ARGUMENTS.encode()).hexdigest(),
        **changes,
    }


def write_engine(tree: Path, **changes: Any) -> EngineManifest:
    """Write an engine for two H200 into a directory, with these fields of its engine.json changed."""
    facts: dict[str, Any] = {
        "kind": "trtllm-torch",
        "architecture": "LlamaForCausalLM",
        "quantization": "fp8",
        "shape": {"max_batch_size": 8, "max_input_len": 512, "max_seq_len": 1024, "max_num_tokens": 2048},
        "tokenizer_sha256": "0" * 64,
        "requires": on_h200(2),
        "toolchains": {"serve": "0" * 64},
        "tools": {"tensorrt_llm": TOOL_VERSION, "cuda": "13.0"},
        "tuning": tuned(),
        "serve": SERVE,
    }
    manifest = EngineManifest.model_validate(facts | changes)
    (tree / "autotuner").mkdir(parents=True)
    (tree / "autotuner" / "cache.json").write_text("{}")
    (tree / "llm_args.yaml").write_text(ARGUMENTS)
    (tree / ENGINE_FILE).write_text(manifest.model_dump_json(indent=2))
    return manifest
