"""Small specs for the check: the checkpoint that was trained, compiled by one kind for one target. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine_specs.spec import Spec, load_spec, needs_calibration, read_spec
from engine_specs.tables import Target, load_kinds
from flows.gpu_check.checkpoint import REPO
from flows.gpu_check.variants import CheckVariant

DEMO, IN_TURN = "demo", "in-turn"
SHAPE = {"max_batch_size": 8, "max_input_len": 256, "max_seq_len": 512, "max_num_tokens": 2048}
CALIBRATION = {"split": "calibration", "samples": 64, "sequence_length": 256}
INPUT_TOKENS = 128
WORKLOAD = {
    "input_tokens": INPUT_TOKENS,
    "concurrency": [1, 8],
    "operating_point": 1,
    "slo": {"ttft_p99_ms": 1000, "itl_p99_ms": 200},
}
# Options of kinds that decide only how long a build takes.
SMALL = {"warmth_starts": 2}
# What an hour of one device of a cloud's host costs, by order of magnitude.
HOUR_USD = {"cpu": 0.10, "cuda": 3.00}


OTHER_MINUTES = 4.0
"""What answers that are judged, and arrivals in open loop, take besides rounds."""


@dataclass(frozen=True, slots=True)
class CheckTerms:
    """What the user decides of every spec of a check.

    Attributes:
        rounds_minutes: what timed rounds may take.
        in_turn_minutes: the same if sides are forced to run in turn.
        output_tokens: tokens that every timed request generates.
    """

    rounds_minutes: float = 2.0
    in_turn_minutes: float = 8.0
    output_tokens: int = 128

    def budget_minutes(self, placement: str) -> float:
        """Return the budget under a forced placement; an empty name forces none."""
        return OTHER_MINUTES + (self.in_turn_minutes if placement == IN_TURN else self.rounds_minutes)


def check_spec(variant: CheckVariant, target: Target, commit: str, terms: CheckTerms) -> Spec:
    """Return the spec that checks a variant; raise SpecInvalid if its kind does not run on the target."""
    return read_spec(check_text(variant, target, commit, terms), Path(f"{spec_name(variant)}.yaml"))


def check_text(variant: CheckVariant, target: Target, commit: str, terms: CheckTerms) -> str:
    """Return the same spec as YAML.

    Args:
        variant: what is built.
        target: for which hosts.
        commit: of the checkpoint that was trained.
        terms: what the user decides.
    """
    budget_minutes = terms.budget_minutes(variant.placement)
    document = load_spec(DEMO).model_dump(mode="json", exclude_unset=True)
    validation = document["validation"]
    texts = {name: validation["accuracy"][name] for name in ("dataset", "revision")}
    document |= {
        "name": spec_name(variant),
        "checkpoint": {"repo": REPO, "revision": commit},
        "compile": "always",
        "channels": [],
        "workload": WORKLOAD | {"output_tokens": terms.output_tokens},
        "validation": validation | {"speed": validation["speed"] | {"budget_minutes": budget_minutes}},
        "economics": document["economics"] | {"gpu_hour_usd": HOUR_USD[target.accelerator]},
        "defaults": {
            "engine": {"kind": variant.kind, "options": _options(variant.kind)},
            "quantization": _recipe(variant.recipe, texts),
            "shape": SHAPE,
        },
        "variants": [{"name": VARIANT, "target": target.name, "tensor_parallel": variant.tensor_parallel}],
    }
    return yaml.safe_dump(document, sort_keys=False)


VARIANT = "checked"


def spec_name(variant: CheckVariant) -> str:
    """Return the name of a variant's spec; each variant has its own, so that each gets a release."""
    return f"gpu-check-{variant.slug}"


def _options(kind: str) -> dict[str, int]:
    return {option.name: SMALL[option.name] for option in load_kinds()[kind].options if option.name in SMALL}


def _recipe(recipe: str, texts: dict[str, str]) -> dict[str, Any]:
    if not needs_calibration(recipe, None):
        return {"recipe": recipe}
    return {"recipe": recipe, "calibration": {**texts, **CALIBRATION}}
