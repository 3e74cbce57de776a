"""The parts of a decoder, read from its config.json: attention, windows, experts, and what reads images.

Promises:
- Pure, and by keys rather than by names of models: what a model type leaves out is in
  `data/config_defaults.yaml`.
- Weights are counted by layer and by what divides them, so that a device's share follows from a variant.
"""

from engine_specs.preflight.decoder.experts import expert_problems, is_dense, read_experts
from engine_specs.preflight.decoder.keys import Config, decoder_config, first, is_size, unknown
from engine_specs.preflight.decoder.latent import latent_problems, read_latent
from engine_specs.preflight.decoder.rotary import rope_scaling, rope_type, rotary_problems
from engine_specs.preflight.decoder.stages import most_in_stage
from engine_specs.preflight.decoder.vision import reads_images, vision_parameters, vision_problems
from engine_specs.preflight.decoder.weights import (
    Experts,
    LatentAttention,
    Spread,
    Weight,
    attention_weights,
    feed_forward_weights,
    latent_weights,
    spread_of,
)
from engine_specs.preflight.decoder.windows import (
    FULL,
    attention_windows,
    full_layers,
    sliding_window,
    window_problems,
)

__all__ = [
    "FULL",
    "Config",
    "Experts",
    "LatentAttention",
    "Spread",
    "Weight",
    "attention_weights",
    "attention_windows",
    "decoder_config",
    "expert_problems",
    "feed_forward_weights",
    "first",
    "full_layers",
    "is_dense",
    "is_size",
    "latent_problems",
    "latent_weights",
    "most_in_stage",
    "read_experts",
    "read_latent",
    "reads_images",
    "rope_scaling",
    "rope_type",
    "rotary_problems",
    "sliding_window",
    "spread_of",
    "unknown",
    "vision_parameters",
    "vision_problems",
    "window_problems",
]
