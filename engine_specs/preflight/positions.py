"""Pre-flight of positions: how long a sequence the model takes, and whether a kind attends as it was made to.

Positions count as vLLM counts them (vllm 0.32.0, config/model.py, _get_and_verify_max_len): linear and
dynamic scaling multiply max_position_embeddings; Llama 3's, YaRN and longrope leave it, as it is scaled. So
do windows: a server of another kind is compared with vLLM.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine_specs.preflight.decoder import (
    FULL,
    Config,
    attention_windows,
    rope_scaling,
    rope_type,
    sliding_window,
)
from engine_specs.preflight.model_facts import ModelFacts, architectures
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, load_kinds, with_defaults

# Keys that say of what type a scaling is, or belong to rotary positions without one.
NAMES_OF_SCALINGS = ("rope_type", "type", "rope_theta", "partial_rotary_factor")


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
    yield from _yarn(repo, kind, config)
    yield from _windows(repo, variant, kind, config)


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


def _yarn(repo: str, kind: KindFacts, config: Config) -> Iterator[Problem]:
    """Yield what YaRN is computed from, if a kind reads it otherwise than vLLM."""
    scaling, names = rope_scaling(config), architectures(config)
    row = kind.architecture(names[0]) if names else None
    yarn = row.yarn if row is not None and row.yarn is not None else kind.yarn
    if yarn is None or rope_type(config) != "yarn":
        return
    lacking = [key for key in yarn.needs if not scaling.get(key)]
    if lacking:
        found = f"YaRN scaling in {repo} without {', '.join(lacking)}, which {kind.name} takes for less"
        yield Problem("checkpoint.repo", found, f"a checkpoint whose config.json states {', '.join(lacking)}")
    ignored = [
        f"{key} {value}"
        for key, value in scaling.items()
        if key not in (*yarn.reads, *NAMES_OF_SCALINGS) and not _is_derived(key, value, scaling)
    ]
    if ignored:
        found = f"YaRN scaling in {repo} with {', '.join(ignored)}, which {kind.name} does not read"
        yield Problem("checkpoint.repo", found, "a checkpoint without, or kind vllm")
    one_alone = bool(scaling.get("mscale")) != bool(scaling.get("mscale_all_dim"))
    if one_alone and kind.export_format == "hf":
        found = f"YaRN scaling in {repo} with one of mscale and mscale_all_dim, which {kind.name} reads alone"
        yield Problem("checkpoint.repo", found, "a checkpoint with both or neither, or kind vllm")


def _is_derived(key: str, value: Any, scaling: Mapping[str, Any]) -> bool:
    """Whether a key only says what follows from the factor, as the tools derive it."""
    if value is None or (key == "truncate" and value is True):
        return True
    factor = scaling.get("factor")
    known = key == "attention_factor" and isinstance(value, int | float) and isinstance(factor, int | float)
    return known and math.isclose(value, 0.1 * math.log(max(factor or 1.0, 1.0)) + 1.0, rel_tol=1e-6)


def _set_windows(variant: ResolvedVariant, kind: KindFacts, config: Config) -> Iterator[Problem]:
    """Yield windows that a spec passes to the server, or lacks, although the model has others."""
    longest = variant.shape.max_seq_len
    needed, given = attention_windows(config, longest), _passed_windows(variant)
    field = f"variants.{variant.name}.engine.llm_args.kv_cache_config.max_attention_window"
    if given is None:
        return
    passed = [min(one, longest) for one in given]
    layers = with_defaults(config).get("num_hidden_layers") or math.lcm(len(passed), len(needed))
    if any(passed[i % len(passed)] != needed[i % len(needed)] for i in range(layers)):
        yield Problem(field, str(list(given)), f"{needed}, the windows of the model's layers, or nothing")
    elif variant.pipeline_parallel > 1 and len(needed) > 1:
        accepted = f"pipeline_parallel 1: which layers of a stage {kind.name} counts from is not established"
        yield Problem(field, f"windows that differ by layer, {needed}", accepted)


def _passed_windows(variant: ResolvedVariant) -> Sequence[int] | None:
    section = variant.engine.llm_args.get("kv_cache_config")
    given = section.get("max_attention_window") if isinstance(section, Mapping) else None
    return given if isinstance(given, list | tuple) and given else None


def _windows(repo: str, variant: ResolvedVariant, kind: KindFacts, config: Config) -> Iterator[Problem]:
    names, window = architectures(config), sliding_window(config)
    support = _support(kind, names)
    serving = [one.name for one in load_kinds().values() if _support(one, names) == "served"]
    others = f"or a kind that has them: {', '.join(serving) or 'none'}"
    if support == "refused" and (window or _mentioned(config)):
        found = f"sliding-window attention in {repo}, but {kind.name} attends to the whole sequence"
        yield Problem("checkpoint.repo", found, f"a checkpoint without sliding windows, {others}")
    if support == "settable":
        yield from _set_windows(variant, kind, config)
    is_passed = support == "settable" and _passed_windows(variant) is not None
    if support in ("within", "settable") and not is_passed and window and variant.shape.max_seq_len > window:
        found = (
            f"{variant.shape.max_seq_len}, but layers of {repo} look back {window} tokens only, and "
            f"{kind.name} has full attention, which is the same up to that length"
        )
        accepted = f"at most {window}, the sliding window, {others}"
        if support == "settable":
            needed = attention_windows(config, variant.shape.max_seq_len)
            accepted += f"; or engine.llm_args {{kv_cache_config: {{max_attention_window: {needed}}}}}"
        yield Problem(f"variants.{variant.name}.shape.max_seq_len", found, accepted)


def _support(kind: KindFacts, names: tuple[str, ...]) -> str | None:
    """Return what a kind does with windows of an architecture; None if it does not compile it at all."""
    row = kind.architecture(names[0]) if names else None
    return (row.sliding_windows or kind.sliding_windows) if row else None


def _mentioned(config: Config) -> bool:
    """Whether config.json asks for windows, even if no layer would have one."""
    layers = config.get("layer_types") or ()
    return bool(config.get("use_sliding_window")) or any(one != FULL for one in layers)
