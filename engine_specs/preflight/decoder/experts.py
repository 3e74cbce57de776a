"""Mixtures of experts in config.json: how many, how wide, in which layers, and what stands next to them.

Keys of transformers 5.19.0, configuration files of mixtral, qwen3_moe, deepseek_v3, gpt_oss and llama4.
"""

from collections.abc import Iterator

from engine_specs.preflight.decoder.keys import Config, first, is_size, unknown
from engine_specs.preflight.decoder.weights import Experts
from engine_specs.reading import Problem

COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")
ACTIVE = "num_experts_per_tok"
# Width of an expert, if it is not that of a dense block.
INNER = ("moe_intermediate_size", "intermediate_size")
COUNTS_NAMED = "num_local_experts, num_experts or n_routed_experts"


def is_dense(config: Config) -> bool:
    """Whether a layer has no experts: no count of them, or an explicit 0."""
    count = first(config, COUNTS)
    return count is None or (count == 0 and not isinstance(count, bool))


def expert_problems(config: Config) -> Iterator[Problem]:
    """Yield what config.json lacks, or says wrongly, of its experts."""
    if is_dense(config):
        return
    count, active = first(config, COUNTS), config.get(ACTIVE)
    if not is_size(count):
        yield unknown(f"a usable {COUNTS_NAMED}")
    elif active is None:
        yield unknown(f"{ACTIVE} next to its number of experts")
    elif is_size(active) and active > count:
        yield Problem(
            "checkpoint.repo",
            f"{active} experts per token ({ACTIVE}) of {count}",
            "a checkpoint with at least as many experts as each token passes through",
        )


def read_experts(config: Config, layers: int) -> Experts | None:
    """Return the experts of a config.json without problems; None for a dense model.

    Args:
        config: with the defaults of its model type.
        layers: its decoder layers.
    """
    chosen = () if is_dense(config) else _layers(config, layers)
    if not chosen:
        return None
    inner = int(first(config, INNER))
    return Experts(
        count=first(config, COUNTS),
        active=config[ACTIVE],
        inner=inner,
        shared=inner * _or(config.get("n_shared_experts"), 0),
        layers=chosen,
    )


def _layers(config: Config, layers: int) -> tuple[int, ...]:
    """Return the layers with experts, by whichever of these keys the model type has."""
    listed, step = config.get("moe_layers"), config.get("interleave_moe_layer_step")
    if isinstance(listed, list | tuple):
        return tuple(layer for layer in range(layers) if layer in listed)
    every = _or(step or config.get("decoder_sparse_step"), 1)
    dense = config.get("mlp_only_layers")
    start, frequency = _or(config.get("first_k_dense_replace"), 0), _or(config.get("moe_layer_freq"), 1)
    return tuple(
        layer
        for layer in range(start, layers)
        if (layer + 1) % every == 0
        and layer % frequency == 0
        and not (isinstance(dense, list | tuple) and layer in dense)
    )


def _or(value: object, default: int) -> int:
    return value if isinstance(value, int) and is_size(value) else default
