"""The demo's model as transformers 4 writes one, so that kinds of both lines read it; newer ones read either.

The weights and the tokenizer are the demo's, byte for byte. Only config.json is spelled in the older way: in
the newer one transformers 4.57.3 takes 10000 for RoPE's base instead of the model's 50000, and says nothing;
in the older one it computes the very logits that 5.14.1 does.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from artifacts.frozen import Frozen
from flows.demo.hub_repo import DEMO_HUB, read_repo
from tasks.plan import Metadata

DEMO_MODEL = "enginery/demo-llama"
REPO = "enginery/demo-llama-transformers-4"
CONFIG_FILE = "config.json"
WRITTEN_BY = "4.57.3"


class CheckpointForCheck(Frozen):
    """The model that the check compiles, in a Hub's directory of its own."""

    hub: Path
    commit: str
    metadata: Metadata


def prepare(hub: Path) -> CheckpointForCheck:
    """Write the demo's repositories into a directory, replacing it; the model in the older spelling."""
    shutil.rmtree(hub, ignore_errors=True)
    shutil.copytree(DEMO_HUB / "datasets", hub / "datasets")
    folder = hub / REPO
    shutil.copytree(DEMO_HUB / DEMO_MODEL, folder)
    config = as_transformers_4(json.loads((folder / CONFIG_FILE).read_bytes()))
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    repo = read_repo("model", folder)
    sizes = {file.path: file.size_bytes for file in repo.files}
    metadata = Metadata(
        origin="checkpoint", reason=f"by the files of {REPO}", config=config, file_bytes=sizes
    )
    return CheckpointForCheck(hub=hub, commit=repo.commit, metadata=metadata)


def as_transformers_4(config: dict[str, Any]) -> dict[str, Any]:
    """A config.json of transformers 5 with plain RoPE, in the spelling of 4.57.

    `dtype` was `torch_dtype` (which 5 reads as well), `rope_parameters` stood as `rope_theta` and
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
