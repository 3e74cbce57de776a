"""What reads images next to a decoder: its weights are loaded, although engines are only asked with text.

Counted for Llama 4 (transformers 5.19.0, models/llama4/modeling_llama4.py: Llama4VisionModel, its adapter and
Llama4MultiModalProjector); biases and norms are a thousandth of it.
"""

from collections.abc import Iterator, Mapping

from engine_specs.preflight.decoder.keys import Config, is_size, unknown
from engine_specs.reading import Problem

SECTION, KNOWN = "vision_config", "llama4_vision_model"
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "projector_input_dim",
    "projector_output_dim",
)
PROJECTED, POSITIONS = "vision_output_dim", ("image_size", "patch_size")
CHANNELS = 3


def reads_images(config: Config) -> bool:
    """Whether the model has such a part, of the kind that is counted here."""
    return _section(config) is not None


def vision_problems(config: Config) -> Iterator[Problem]:
    """Yield the sizes that are missing, if there is something that reads images."""
    section = _section(config)
    if section is None:
        return
    for key in (*SIZES, PROJECTED, *POSITIONS):
        if not is_size(section.get(key)):
            yield unknown(f"a usable {SECTION}.{key}")


def vision_parameters(config: Config, hidden: int) -> int:
    """Count the weights of what reads images, for a config.json without problems; 0 if nothing does.

    Args:
        config: with its vision_config.
        hidden: width of the decoder that images are projected to.
    """
    section = _section(config)
    if section is None:
        return 0
    width, inner, layers, into, out = (section[key] for key in SIZES)
    image, patch = (section[key] for key in POSITIONS)
    layer = 4 * width * width + 2 * width * inner
    embedding = width * CHANNELS * patch * patch + width * ((image // patch) ** 2 + 1)
    adapter = inner * into + into * out
    return int(layers * layer + embedding + adapter + section[PROJECTED] * hidden)


def _section(config: Config) -> Config | None:
    """Return what describes it, if that is of the kind that is counted here."""
    section = config.get(SECTION)
    known = isinstance(section, Mapping) and section.get("model_type") == KNOWN
    return section if known else None
