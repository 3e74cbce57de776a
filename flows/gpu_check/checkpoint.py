"""The demo's model in the format of transformers 4, which both transformers 4 and 5 read correctly.

The weights and the tokenizer are the demo's, byte for byte. Only config.json has the older format: with the
newer one, transformers 4.57.3 silently uses 10000 as RoPE's base instead of the model's 50000; with the older
one, it computes exactly the logits of 5.14.1.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from artifacts.frozen import Frozen
from flows.demo.hub_repo import DEMO_HUB, read_repo
from tasks.hub import CheckpointFacts

DEMO_MODEL = "enginery/demo-llama"
REPO = "enginery/demo-llama-transformers-4"
CONFIG_FILE = "config.json"
WRITTEN_BY = "4.57.3"


class CheckpointForCheck(Frozen):
    """The model that the check compiles, in a Hub directory of its own."""

    hub: Path
    commit: str
    metadata: CheckpointFacts


def prepare(hub: Path) -> CheckpointForCheck:
    """Write the demo's repositories to a directory, replacing it; the model's config has the older format."""
    shutil.rmtree(hub, ignore_errors=True)
    shutil.copytree(DEMO_HUB / "datasets", hub / "datasets")
    folder = hub / REPO
    shutil.copytree(DEMO_HUB / DEMO_MODEL, folder)
    config = as_transformers_4(json.loads((folder / CONFIG_FILE).read_bytes()))
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    repo = read_repo("model", folder)
    sizes = {file.path: file.size_bytes for file in repo.files}
    metadata = CheckpointFacts(commit=repo.commit, config=config, file_bytes=sizes)
    return CheckpointForCheck(hub=hub, commit=repo.commit, metadata=metadata)


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
