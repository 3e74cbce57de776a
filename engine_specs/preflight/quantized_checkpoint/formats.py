"""The format of a quantized checkpoint, as its own files say it.

Names of ModelOpt's formats are those of hf_quant_config.json. compressed-tensors has no names: a format is
what a group of config.json says of weights and input activations, such as W8A8_FP8, W4A16 or NVFP4. Models
that were released in a format of their own name a method: fp8 with blocks (DeepSeek-V3), or mxfp4 (gpt-oss).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from engine_specs.preflight.decoder import Config
from engine_specs.preflight.quantized_checkpoint.plain import SmallFiles
from engine_specs.reading import StrictFrozen

MODELOPT, COMPRESSED_TENSORS = "modelopt", "compressed-tensors"
MODELOPT_FILE = "hf_quant_config.json"
# Each layer has a format of its own, which hf_quant_config.json lists.
MIXED = "MIXED_PRECISION"
# Where compressed-tensors is described: today, and by its releases of before.
KEYS = ("quantization_config", "compression_config")
AS_COMPUTED = 16
FP8, FP8_BLOCK, MXFP4 = "fp8", "FP8_BLOCK", "MXFP4"
BLOCK = [128, 128]
# Groups of 4-bit floats that share a scale: of 16 in NVFP4; MXFP4 has groups of 32.
NVFP4_GROUP = 16


class Recognised(StrictFrozen):
    """How a checkpoint is quantized."""

    tool: str = Field(description="What it was quantized with: modelopt, compressed-tensors, or a method.")
    formats: tuple[str, ...] = Field(description="Formats of its weights; empty: it does not say.")
    kv_cache: str | None = Field(description="Format of its keys and values; null: as they are computed.")

    @property
    def text(self) -> str:
        """Tool, formats and KV cache as part of a sentence."""
        cache = f", KV cache {self.kv_cache}" if self.kv_cache else ""
        return f"{self.tool} {' and '.join(self.formats) or 'of an unknown format'}{cache}"


def recognise(config: Config, small: SmallFiles) -> Recognised | None:
    """Return how a checkpoint is quantized by its own files; None if nothing says that it is."""
    if sidecar := small.content(MODELOPT_FILE):
        return _modelopt(sidecar)
    for key in KEYS:
        if isinstance(found := config.get(key), Mapping):
            return _described(found)
    return None


def _modelopt(sidecar: Mapping[str, Any]) -> Recognised:
    said = _mapping(sidecar.get("quantization"))
    algo, layers = said.get("quant_algo"), _mapping(said.get("quantized_layers"))
    listed = [one.get("quant_algo") for one in layers.values() if isinstance(one, Mapping)]
    formats = {str(one) for one in (listed if algo == MIXED else [algo]) if one}
    cache = said.get("kv_cache_quant_algo")
    return Recognised(tool=MODELOPT, formats=tuple(sorted(formats)), kv_cache=str(cache) if cache else None)


def _described(found: Mapping[str, Any]) -> Recognised:
    tool = str(found.get("quant_method") or "an unknown method")
    if tool != COMPRESSED_TENSORS:
        return Recognised(tool=tool, formats=_own_format(tool, found), kv_cache=None)
    cache = found.get("kv_cache_scheme")
    return Recognised(
        tool=tool,
        formats=tuple(sorted(set(_groups(found.get("config_groups"))))),
        kv_cache=_name(cache) if isinstance(cache, Mapping) else None,
    )


def _own_format(method: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the format of a method that has one; blocks of another size have no kernels in any kind."""
    if method == FP8 and list(found.get("weight_block_size") or ()) == BLOCK:
        return (FP8_BLOCK,)
    return (MXFP4,) if method == MXFP4.lower() else ()


def _groups(groups: object) -> Iterator[str]:
    for group in _mapping(groups).values():
        weights, inputs = (_mapping(_mapping(group).get(key)) for key in ("weights", "input_activations"))
        if weights:
            yield _group(weights, inputs)


def _group(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Name a group; two of a kind that share no kernels have two names."""
    bits, floats = weights.get("num_bits"), weights.get("type") == "float"
    if floats and bits == 4:
        family = "NVFP4" if weights.get("group_size") == NVFP4_GROUP else MXFP4
        return family if inputs.get("num_bits") == bits else f"{family}A{inputs.get('num_bits', AS_COMPUTED)}"
    named = f"W{bits}A{inputs.get('num_bits', AS_COMPUTED)}"
    if weights.get("strategy") == "block":
        named += "_BLOCK"
    if floats:
        return f"{named}_FP8"
    return f"{named}_INT8" if inputs else named


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is, and nothing for any other value: the file does not say it then."""
    return value if isinstance(value, Mapping) else {}


def _name(scheme: Mapping[str, Any]) -> str:
    kind = "FP" if scheme.get("type") == "float" else "INT"
    return f"{kind}{scheme.get('num_bits')}"
