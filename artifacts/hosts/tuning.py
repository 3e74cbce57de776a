"""Kernel choices that ship with an engine are valid for one GPU, one tool and one set of settings.

Elsewhere, the tool loads its tuning cache without a warning, and is slow or wrong. So `engine.json`, not the
cache itself, records what it was measured on, and this is compared before the tool starts.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts.engine import EngineManifest, TuningCache
from artifacts.hosts.host_match import HostFacts, suitable_gpus

# The only tool that ships such a cache, by the name of its distribution.
TOOL = "tensorrt-llm"
TREE = "{tree}/"
# Key of the tool's settings for the GPUs that each layer is spread over; if it is absent, one GPU.
TENSOR_PARALLEL = "tensor_parallel_size"


class Loading(Frozen):
    """What is about to load a tuning cache; the fields of `TuningCache` that can differ."""

    gpu_name: str = Field(description="Product name of the GPU that it is loaded on.")
    compute_capability: str = Field(description="CUDA compute capability of that GPU.")
    tool_version: str = Field(description="Version of the tool that loads it.")
    tensor_parallel: int = Field(ge=1, description="GPUs that each layer is spread over.")
    config_sha256: str = Field(description="Digest of the file with the tool's settings.")


def differences(tuning: TuningCache, loading: Loading) -> tuple[str, ...]:
    """List how what loads a cache differs from what it was measured on, one phrase per field. Pure."""
    labels = {name: name.replace("_", " ") for name in Loading.model_fields}
    return tuple(
        f"{label}: measured with {getattr(tuning, name)}, about to be loaded with {getattr(loading, name)}"
        for name, label in labels.items()
        if getattr(tuning, name) != getattr(loading, name)
    )


def loading_of(
    manifest: EngineManifest, tree: Path, facts: HostFacts, versions: Mapping[str, str]
) -> Loading:
    """Return what would load the cache of this tree on this host, with a toolchain of these versions."""
    suitable = suitable_gpus(manifest.requires, facts.gpus) or facts.gpus
    settings = _settings_file(manifest, tree)
    content = settings.read_bytes() if settings else b""
    return Loading(
        gpu_name=suitable[0].name if suitable else "none",
        compute_capability=suitable[0].compute_capability if suitable else "none",
        tool_version=versions.get(TOOL, "none"),
        tensor_parallel=_tensor_parallel(content),
        config_sha256=hashlib.sha256(content).hexdigest(),
    )


def _settings_file(manifest: EngineManifest, tree: Path) -> Path | None:
    """Return the file of the tree that the serve command passes to the tool; None if it passes none."""
    named = (tree / part.removeprefix(TREE) for part in manifest.serve.argv if part.startswith(TREE))
    return next((path for path in named if path.is_file()), None)


def _tensor_parallel(settings: bytes) -> int:
    try:
        content = yaml.safe_load(settings)
    except yaml.YAMLError:
        return 1  # damaged settings have another digest, which is reported
    named = content.get(TENSOR_PARALLEL) if isinstance(content, dict) else None
    return named if isinstance(named, int) and named > 0 else 1
