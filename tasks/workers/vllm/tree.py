"""What a vllm engine holds next to the checkpoint: the launcher, the caches of a start, and engine.json.

Standard library only.
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.workers.common.hf_checkpoint import Checkpoint
from tasks.workers.common.manifest import manifest
from tasks.workers.common.records import as_json
from tasks.workers.common.sources import closure, write_sources
from tasks.workers.vllm.launch import pinned_variables
from tasks.workers.vllm.place import Place, copy_files
from tasks.workers.vllm.request import SERVER, VllmParams

CACHES = "caches"
LAUNCHER = "server"
# Left by processes that ran, and of no use to others: locks, files that were being written, and what vLLM
# found out about the links between this host's GPUs (distributed/device_communicators/all_reduce_utils.py).
LEFT_OUT = ("*.lock", "*.tmp", "*.pyc", "gpu_p2p_access_cache_for_*.json")


def write_launcher(tree: Path) -> None:
    """Write the source files of the launcher."""
    write_sources(closure(SERVER), tree / LAUNCHER)


def identity_of(params: VllmParams, checkpoint: Path) -> str:
    """Return a digest of what the engine is built from, 64 hex digits: it names the place of its caches."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_sha256, files))
    names = [str(path.relative_to(checkpoint)) for path in files]
    described = (as_json(params), list(zip(names, digests, strict=True)))
    return hashlib.sha256(repr(described).encode()).hexdigest()


def capture(place: Place, tree: Path) -> tuple[int, int]:
    """Copy what a start left in its place into the tree; returns the number of files and their bytes."""
    target = tree / CACHES
    copy_files(place.caches, target)
    for pattern in LEFT_OUT:
        for path in target.rglob(pattern):
            path.unlink()
    files = [path for path in target.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def vllm_manifest(
    params: VllmParams,
    checkpoint: Checkpoint,
    captured: Mapping[str, str],
    place: Place | None,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """The content of engine.json.

    It binds the engine to the version of vLLM only for its caches: another version serves it too, cold.

    Args:
        params: of the request.
        checkpoint: what is served.
        captured: what its caches were captured with.
        place: where they are used; None: it ships none.
        environment: of the process that fills them.
    """
    target = params.target
    on_gpu = bool(target.gpu_names)
    gpu = {
        "gpu_names": list(target.gpu_names),
        "compute_capability": target.compute_capability,
        "gpu_count": target.gpu_count,
    }
    requires = {"machine": target.machine, "cpu_features": list(target.cpu_features)}
    warm = {
        "path": CACHES,
        "place": str(place.path) if place else "",
        "captured": dict(captured),
        "environment": pinned_variables(environment),
    }
    return manifest(
        params,
        checkpoint.architecture,
        asdict(params.shape),
        checkpoint.tokenizer_sha256,
        {"vllm": captured["vllm"]},
        requires=requires | (gpu if on_gpu else {}),
        **({"warm_caches": warm} if place else {}),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
