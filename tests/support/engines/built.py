"""Engines that a test built with the real tools, and the programs that it runs in their toolchain."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine_specs.spec import ResolvedVariant, Shape, load_spec, resolve_variants
from engine_specs.spec.variant import Quantization
from engine_specs.tables import load_targets
from support.paths import SPECS
from tasks.toolchains import JobOutcome
from tasks.workers.aot.request import AotParams

PROGRAMS = Path(__file__).parent / "programs"
SHAPE = Shape(max_batch_size=4, max_input_len=64, max_seq_len=96, max_num_tokens=128)

RunJob = Callable[..., JobOutcome]


@dataclass(frozen=True)
class Built:
    """An engine, what it was built from, and how."""

    tree: Path
    checkpoint: Path
    params: AotParams
    outcome: JobOutcome


def variant(recipe: str, target: str = "cpu-x86-64-v3") -> ResolvedVariant:
    """A variant of the demo spec with the tests' small shape."""
    base = resolve_variants(load_spec("demo", SPECS))[0]
    changes = {"shape": SHAPE, "target": load_targets()[target], "quantization": Quantization(recipe=recipe)}
    return base.model_copy(update=changes)
