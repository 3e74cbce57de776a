"""The checkpoint that is checked: a Llama of the size asked for, trained here on the demo's kind of text.

Invariants:
- The interpreter that trains is the one that compiles: its torch has to work on this host anyway.
- The tokenizer is the demo's, byte for byte, and so are the held-out texts, which come from modules that are
  never trained on.
- config.json has the format of transformers 4, which both 4 and 5 read correctly: with the newer one, 4.57.3
  silently uses 10000 as RoPE's base instead of the model's 50000.
- A checkpoint that was trained for the same request is used again.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from artifacts.settings import Settings
from engine_specs.tables import Accelerator
from flows.demo.hub_repo import DEMO_HUB, read_repo
from flows.gpu_check.sizes import MAX_TOKENS, ModelSize
from tasks.hosts import GpuNeed, gpus_for
from tasks.hub import CheckpointFacts
from tasks.toolchains import Worker, ensure, run_job
from tasks.workers.common.requests import Nothing, Request
from tasks.workers.common.sources import Source, imported, reached, write_sources

TOKENIZER = DEMO_HUB / "enginery" / "demo-llama"
FLOWS = Path(__file__).parents[1]
WORKER = "flows.demo.training.train_for_check"
REPO = "enginery/gpu-check-llama"
CONFIG_FILE, REQUEST_FILE = "config.json", "request.json"
WRITTEN_BY = "4.57.3"
TRAINERS: Mapping[Accelerator, str] = {"cpu": "aot-cpu", "cuda": "aot-cuda"}
DEVICE_ROWS: Mapping[Accelerator, int] = {"cpu": 4, "cuda": 16}
SHARD_BYTES = 1_000_000_000
# AdamW in float32: weights, gradients and two moments; autocast has the weights in bfloat16 besides.
BYTES_PER_PARAMETER = 18
# What a step keeps for its backward pass, per token, layer and unit of the hidden size: the tensors
# that torch 2.13 saved for such a Llama with autocast (63 and 64 bytes, at hidden sizes of 512 and 256).
KEPT_BYTES = 64
# CUDA's context, the compute libraries' workspaces, and what is not given back between steps.
TRAINING_RESERVE_BYTES = 4 * 10**9
SEED = 0
SECONDS_PER_MINUTE = 60.0
# Reading the corpus, writing the checkpoint, and imports, besides the training itself.
TRAINING_OVERHEAD_S = 900.0


class TrainingRequest(Frozen):
    """What decides the checkpoint."""

    size: ModelSize = Field(description="The dimensions.")
    minutes: float = Field(gt=0, description="How long it is trained.")
    accelerator: Accelerator = Field(description="What it is trained on.")
    stdlib: Path | None = Field(
        default=None, description="Sources to train on; null: the library of the interpreter that trains."
    )


class TrainedCheckpoint(Frozen):
    """A checkpoint in a Hub directory of its own."""

    hub: Path = Field(description="The directory that the small Hub serves.")
    commit: str = Field(description="Commit of the checkpoint's repository.")
    metadata: CheckpointFacts = Field(description="Its config.json and the sizes of its files.")
    figures: dict[str, Any] = Field(description="What training reports: parameters, steps, losses.")
    reused: bool = Field(description="Whether an earlier check trained it.")

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weights."""
        sizes = self.metadata.file_bytes
        return sum(size for name, size in sizes.items() if name.endswith(".safetensors"))


def training_bytes(size: ModelSize) -> int:
    """Return the memory of a GPU that training a checkpoint of this size takes, at most.

    On an H200 (torch 2.11), training 975 M parameters took 32.3 GB, where this says 38.7.
    """
    tokens = DEVICE_ROWS["cuda"] * MAX_TOKENS
    kept = tokens * size.layers * size.hidden * KEPT_BYTES
    return size.parameters * BYTES_PER_PARAMETER + kept + TRAINING_RESERVE_BYTES


def trained_checkpoint(request: TrainingRequest, settings: Settings, say: Say) -> TrainedCheckpoint:
    """Return the checkpoint, trained unless an earlier check did.

    Raises:
        tasks.errors.TaskError: the toolchain or its GPU is unavailable, or training failed.
    """
    root = settings.home / "gpu-check" / f"checkpoint-{request.size.parameters}-{request.accelerator}"
    asked = request.model_dump_json()
    kept = root / REQUEST_FILE
    reused = kept.exists() and kept.read_text(encoding="utf-8") == asked
    if not reused:
        shutil.rmtree(root, ignore_errors=True)
        _train(request, root, settings, say)
        kept.write_text(asked, encoding="utf-8")
    return _read(root / "hub", reused=reused)


def as_transformers_4(config: dict[str, Any]) -> dict[str, Any]:
    """Convert a config.json of transformers 5 with plain RoPE to the format of 4.57.

    There, `dtype` is `torch_dtype` (which 5 reads as well), and `rope_parameters` is `rope_theta` and
    `rope_scaling` (transformers 5, configuration_utils.py and modeling_rope_utils.py).
    """
    rope = config["rope_parameters"]
    renamed = {
        "torch_dtype": config["dtype"],
        "rope_theta": rope["rope_theta"],
        "rope_scaling": None,
        "transformers_version": WRITTEN_BY,
    }
    kept = {key: value for key, value in config.items() if key not in {"dtype", "rope_parameters"}}
    return dict(sorted({**kept, **renamed}.items()))


def _train(request: TrainingRequest, root: Path, settings: Settings, say: Say) -> None:
    """Train into a Hub directory; its datasets are the demo's."""
    from flows.demo.training.request import TrainingParams  # not part of the package: only checkouts have it

    folder = root / "hub" / REPO
    folder.mkdir(parents=True)
    shutil.copytree(DEMO_HUB / "datasets", root / "hub" / "datasets")
    toolchain = ensure(TRAINERS[request.accelerator], settings, say)
    params = TrainingParams(
        config=request.size.config(),
        minutes=request.minutes,
        rows=DEVICE_ROWS[request.accelerator],
        device=request.accelerator,
        seed=SEED,
        shard_bytes=SHARD_BYTES,
        stdlib=request.stdlib,
    )
    sources = root / "sources"
    _write_sources(sources)
    with gpus_for(toolchain, GpuNeed(), settings, say) as held:
        run_job(
            toolchain,
            Worker(module=WORKER, import_path=sources),
            Request(params, Nothing(), {"tokenizer": TOKENIZER}, folder),
            log=root / "training.log",
            on_line=say,
            time_limit_s=request.minutes * SECONDS_PER_MINUTE + TRAINING_OVERHEAD_S,
            extra_env=held.env,
            gpus=held.uuids,
            keep_fds=held.descriptors,
        )
    config = as_transformers_4(json.loads((folder / CONFIG_FILE).read_bytes()))
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write_sources(directory: Path) -> None:
    """Write the worker, and what it may import of ours: the modules next to it, and what workers share."""
    paths = [
        FLOWS / "__init__.py",
        FLOWS / "demo" / "__init__.py",
        *(FLOWS / "demo" / "training").glob("*.py"),
    ]
    own = [Source(path.relative_to(FLOWS.parent).as_posix(), path.read_bytes()) for path in paths]
    shared = reached(name for source in own for name in imported(source.content))
    write_sources([*own, *shared], directory)


def _read(hub: Path, *, reused: bool) -> TrainedCheckpoint:
    repo = read_repo("model", hub / REPO)
    figures = json.loads((hub / REPO / "training.json").read_bytes())
    config = json.loads((hub / REPO / CONFIG_FILE).read_bytes())
    sizes = {file.path: file.size_bytes for file in repo.files}
    metadata = CheckpointFacts(commit=repo.commit, config=config, file_bytes=sizes)
    return TrainedCheckpoint(hub=hub, commit=repo.commit, metadata=metadata, figures=figures, reused=reused)
