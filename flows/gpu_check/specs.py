"""Small specs for the check: the demo's model and workload, compiled by one kind for one GPU. Pure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from engine_specs.spec import Spec, load_spec, needs_calibration, read_spec
from engine_specs.tables import KindFacts, Target
from flows.gpu_check.checkpoint import REPO

DEMO = "demo"
# Besides unquantized weights, one of these: the first that kind, architecture and GPU support.
QUANTIZED = ("fp8", "nvfp4", "int4_awq", "int8_weight_only")
ARCHITECTURE = "LlamaForCausalLM"
CALIBRATION = {"split": "calibration", "samples": 64, "sequence_length": 256}


def check_spec(kind: KindFacts, target: Target, commit: str) -> Spec:
    """Return the spec that checks a kind on a target; raise SpecInvalid if the kind does not run on it."""
    text = check_text(kind, target, commit)
    return read_spec(text, Path(f"{_name(kind)}.yaml"))


def check_text(kind: KindFacts, target: Target, commit: str) -> str:
    """Return the same spec as YAML; `commit` is that of the check's checkpoint."""
    demo = load_spec(DEMO)
    document = demo.model_dump(mode="json", exclude_unset=True)
    texts = {name: document["validation"]["accuracy"][name] for name in ("dataset", "revision")}
    document |= {
        "name": _name(kind),
        "checkpoint": {"repo": REPO, "revision": commit},
        "compile": "always",
        "channels": [],
        "defaults": {
            "engine": {"kind": kind.name},
            "quantization": {"recipe": "none"},
            "shape": document["defaults"]["shape"],
        },
        "variants": [
            {"name": recipe.replace("_", "-"), "target": target.name, "quantization": _recipe(recipe, texts)}
            for recipe in _recipes(kind, target)
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _name(kind: KindFacts) -> str:
    return f"gpu-check-{kind.name}"


def _recipes(kind: KindFacts, target: Target) -> Iterator[str]:
    """Yield unquantized weights, and one recipe that the kind's kernels support on this GPU."""
    yield "none"
    architecture = kind.architecture(ARCHITECTURE)
    supported = architecture.recipes if architecture else None
    for name in QUANTIZED:
        row = kind.recipe(name)
        on_gpu = row is not None and target.compute_capability in row.compute_capabilities
        if on_gpu and (supported is None or name in supported):
            yield name
            return


def _recipe(recipe: str, texts: dict[str, str]) -> dict[str, Any]:
    if not needs_calibration(recipe, None):
        return {"recipe": recipe}
    return {"recipe": recipe, "calibration": {**texts, **CALIBRATION}}
