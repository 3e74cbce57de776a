"""A checkpoint and a host for tests of `make gpu-check`: metadata only, nothing is trained."""

from pathlib import Path

from artifacts.hosts import Gpu, HostFacts
from engine_specs.tables import Target, load_targets
from flows.gpu_check.checkpoint import TrainedCheckpoint, as_transformers_4
from flows.gpu_check.sizes import ModelSize, size_near
from tasks.hub import CheckpointFacts

DRIVER = "595.10.01"
FIGURES = {
    "parameters": 975_243_264,
    "minutes": 2.0,
    "rows": 16,
    "best_step": 430,
    "validation_nats_per_token": 2.512,
    "unigram_nats_per_token": 5.645,
}


def host(target: Target, count: int) -> HostFacts:
    """A host of a target with that many GPUs and a new driver."""
    assert target.gpu is not None
    gpus = tuple(
        Gpu(
            index=index,
            name=target.gpu.product_names[0],
            uuid=f"GPU-{index}",
            memory_bytes=target.memory_bytes or 0,
            compute_capability=target.gpu.compute_capability,
        )
        for index in range(count)
    )
    return HostFacts(machine=target.machine, cpu_features=(), gpus=gpus, driver=DRIVER)


def cpu_host() -> HostFacts:
    """A host without a GPU, of the third x86-64 level."""
    features = load_targets()["cpu-x86-64-v3"].cpu_features
    return HostFacts(machine="x86_64", cpu_features=features, no_gpus="no NVIDIA driver is installed")


def checkpoint(parameters: int = 10**9) -> TrainedCheckpoint:
    """The metadata that a trained checkpoint of this size has."""
    size = size_near(parameters)
    metadata = CheckpointFacts(commit="c" * 40, config=written_config(size), file_bytes=files(size))
    return TrainedCheckpoint(
        hub=Path("hub"), commit="c" * 40, metadata=metadata, figures=dict(FIGURES), reused=False
    )


def written_config(size: ModelSize) -> dict[str, object]:
    """The config.json of a checkpoint of this size."""
    as_saved = size.config() | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "attention_bias": False,
        "mlp_bias": False,
    }
    return as_transformers_4(as_saved)


def files(size: ModelSize) -> dict[str, int]:
    """The files of a checkpoint of this size, in bfloat16."""
    return {"config.json": 700, "tokenizer.json": 54_686, "model.safetensors": 2 * size.parameters + 4096}
