"""Multi-head latent attention in config.json: keys of DeepSeek-V3's configuration in transformers 5.19.0."""

from collections.abc import Iterator

from engine_specs.preflight.decoder.keys import Config, is_size, unknown
from engine_specs.preflight.decoder.weights import LatentAttention
from engine_specs.reading import Problem

RANK = "kv_lora_rank"
WIDTHS = ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")


def latent_problems(config: Config) -> Iterator[Problem]:
    """Yield the widths that are missing, if attention is latent."""
    if config.get(RANK) is None:
        return
    for key in (RANK, *WIDTHS):
        if not is_size(config.get(key)):
            yield unknown(f"a usable {key}")


def read_latent(config: Config) -> LatentAttention | None:
    """Return the latent attention of a config.json without problems; None if it has another."""
    if config.get(RANK) is None:
        return None
    rope, plain, value = (config[key] for key in WIDTHS)
    return LatentAttention(
        query_rank=config.get("q_lora_rank"), rank=config[RANK], rope=rope, plain=plain, value=value
    )
