"""Pre-flight of positions: how long a sequence the model takes, and whether a kind attends as it was made to.

Positions count as vLLM counts them (vllm 0.32.0, config/model.py, _get_and_verify_max_len): linear and
dynamic scaling multiply max_position_embeddings; Llama 3's, YaRN and longrope leave it, as it is scaled.
"""

from collections.abc import Iterator

from engine_specs.preflight.model_facts import Config, ModelFacts, architectures, rope_type
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, defaults_of, load_kinds, with_defaults

FULL = "full_attention"


def length_problems(variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield lengths beyond the model's positions."""
    where = f"variants.{variant.name}"
    lengths = {f"{where}.shape.max_seq_len": variant.shape.max_seq_len}
    if variant.quantization.calibration is not None:
        lengths[f"{where}.quantization.calibration.sequence_length"] = (
            variant.quantization.calibration.sequence_length
        )
    for field, length in lengths.items():
        if length > model.max_positions:
            yield Problem(field, str(length), f"at most {model.max_positions}, the positions of the model")


def position_problems(
    repo: str, variant: ResolvedVariant, kind: KindFacts, config: Config
) -> Iterator[Problem]:
    """Yield a scaling of positions, or a window of attention, that a kind would build differently."""
    yield from _rope(repo, kind, config)
    yield from _windows(repo, variant, kind, config)


def sliding_window(config: Config) -> int | None:
    """Return how many tokens the layers with a window look back to; None if no layer has one."""
    filled, row = with_defaults(config), defaults_of(config)
    size = filled.get("sliding_window")
    if not isinstance(size, int) or row is None:
        return None
    if layer_types := filled.get("layer_types"):
        return size if any(one != FULL for one in layer_types) else None
    if row.windows == "every-layer":
        return size
    first = filled.get("max_window_layers") or 0
    asked = row.windows == "if-asked" and filled.get("use_sliding_window")
    return size if asked and first < (filled.get("num_hidden_layers") or 0) else None


def _rope(repo: str, kind: KindFacts, config: Config) -> Iterator[Problem]:
    found = rope_type(config)
    if kind.rope_types is None or found in kind.rope_types:
        return
    others = [one.name for one in load_kinds().values() if one.rope_types is None or found in one.rope_types]
    accepted = (
        f"a checkpoint whose positions {kind.name} scales: {', '.join(kind.rope_types)}; or a kind that "
        f"scales by {found}: {', '.join(others)}"
    )
    yield Problem("checkpoint.repo", f"rope type {found} in {repo}", accepted)


def _windows(repo: str, variant: ResolvedVariant, kind: KindFacts, config: Config) -> Iterator[Problem]:
    names, window = architectures(config), sliding_window(config)
    support = _support(kind, names)
    serving = [one.name for one in load_kinds().values() if _support(one, names) == "served"]
    others = f"or a kind that has them: {', '.join(serving) or 'none'}"
    if support == "refused" and (window or _mentioned(config)):
        found = f"sliding-window attention in {repo}, but {kind.name} attends to the whole sequence"
        yield Problem("checkpoint.repo", found, f"a checkpoint without sliding windows, {others}")
    if support == "within" and window and variant.shape.max_seq_len > window:
        found = (
            f"{variant.shape.max_seq_len}, but layers of {repo} look back {window} tokens only, and "
            f"{kind.name} has full attention, which is the same up to that length"
        )
        accepted = f"at most {window}, the sliding window, {others}"
        yield Problem(f"variants.{variant.name}.shape.max_seq_len", found, accepted)


def _support(kind: KindFacts, names: tuple[str, ...]) -> str | None:
    """Return what a kind does with windows of an architecture; None if it does not compile it at all."""
    row = kind.architecture(names[0]) if names else None
    return (row.sliding_windows or kind.sliding_windows) if row else None


def _mentioned(config: Config) -> bool:
    """Whether config.json asks for windows, even if no layer would have one."""
    layers = config.get("layer_types") or ()
    return bool(config.get("use_sliding_window")) or any(one != FULL for one in layers)
