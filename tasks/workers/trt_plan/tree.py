"""What an engine tree holds next to the plans: the tokenizer and engine.json."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.workers.common.gpu_host import GpuFacts
from tasks.workers.common.json_files import read_json, write_json
from tasks.workers.common.manifest import manifest, sha256_of
from tasks.workers.trt_plan.checkpoint import Checkpoint
from tasks.workers.trt_plan.request import TrtPlanParams

SHAPE = ("max_batch_size", "max_input_len", "max_seq_len", "max_num_tokens")
# config.json is the engine's own; the tool reads no other file of the checkpoint.
TOKENIZER_SETTINGS = "tokenizer_config.json"
# The class of transformers that takes tokenizer.json as it is.
READS_TOKENIZER_JSON = "PreTrainedTokenizerFast"
TOKENIZER_FILES = (
    "tokenizer.json",
    TOKENIZER_SETTINGS,
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)


def copy_tokenizer(checkpoint: Path, output: Path) -> list[str]:
    """Copy, byte for byte, what the server needs to turn text into tokens and back; returns the names.

    If no file says of what class the tokenizer is, the copy of tokenizer_config.json does: next to a plan's
    config.json, which names no type of model, transformers could not know.
    """
    present = [name for name in TOKENIZER_FILES if (checkpoint / name).is_file()]
    for name in present:
        shutil.copyfile(checkpoint / name, output / name)
    settings = output / TOKENIZER_SETTINGS
    given = read_json(settings) if settings.is_file() else {}
    if not given.get("tokenizer_class"):
        write_json(settings, given | {"tokenizer_class": READS_TOKENIZER_JSON})
    return present


def plan_manifest(
    params: TrtPlanParams,
    checkpoint: Checkpoint,
    sizes: Mapping[str, int],
    gpu: GpuFacts,
    tools: Mapping[str, str],
) -> dict[str, Any]:
    """The content of engine.json.

    Args:
        params: of the request.
        checkpoint: what was compiled.
        sizes: as built, by the tool's names.
        gpu: where it was built.
        tools: versions, among them cuda.
    """
    target = params.target
    return manifest(
        params,
        checkpoint.architecture,
        {name: sizes[name] for name in SHAPE},
        sha256_of(checkpoint.directory / "tokenizer.json"),
        tools,
        requires={
            "machine": target.machine,
            # A plan loads on every GPU of its compute capability, but was timed on these.
            "gpu_names": list(target.gpu_names),
            "compute_capability": target.compute_capability,
            "gpu_count": params.checkpoint.world_size,
        },
        built_on={
            "gpu_name": gpu.name,
            "compute_capability": gpu.compute_capability,
            "driver": gpu.driver,
            "cuda": tools["cuda"],
        },
    )
