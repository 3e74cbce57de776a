"""Checks a quantization before the model is loaded, from config.json and tensor headers.

Standard library only, so that the same checks can run on hosts without a heavy tool.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.workers.common.io import Refusal
from tasks.workers.common.json_files import read_json
from tasks.workers.common.safetensors import linear_shapes
from tasks.workers.quantize.request import Export, FormatNeeds, QuantizeAdmission, QuantizeParams

# Layers whose input is divided between devices: the group of a scale must not cross from one to the next.
DIVIDED_BY_INPUT = ("o_proj.weight", "down_proj.weight", "w2.weight")


def require_supported(checkpoint: Path, params: QuantizeParams, admission: QuantizeAdmission) -> None:
    """Refuse what cannot be quantized as asked.

    Args:
        checkpoint: directory with config.json and safetensors.
        params: what is asked.
        admission: what decides whether it may be done.

    Raises:
        Refusal: the architecture is unknown, the checkpoint is already quantized or was saved by a newer
            transformers than will read it, a dimension does not divide, or the recipe needs texts.
    """
    config = read_json(checkpoint / "config.json")
    _require_work(params, admission.modelopt)
    _require_architecture(config, params.export, admission.architectures, str(checkpoint))
    _require_unquantized(config, str(checkpoint))
    _require_readable(checkpoint, config, admission.transformers_major)
    for asked in admission.formats:
        _require_device(asked, params.device, admission.modelopt)
    for asked in admission.formats:
        _require_dimensions(checkpoint, asked, params.export.tensor_parallel)
    if not params.calibration:
        _require_no_texts_needed(admission.formats)


def _require_work(params: QuantizeParams, modelopt: str) -> None:
    asked = params.recipe.preset or params.kv_cache.preset or params.file or params.search
    if not asked and (params.export.format == "hf" or params.recipe.name != "none"):
        what = f"there is nothing to quantize: ModelOpt {modelopt} has no {params.recipe.name}"
        raise Refusal("input", what, fix="choose a recipe that recipes.yaml lists for this line")


def _require_architecture(
    config: dict[str, Any], export: Export, supported: Sequence[str], where: str
) -> None:
    found = (config.get("architectures") or ["none"])[0]
    if found not in supported:
        fix = f"supported are {', '.join(supported)}"
        raise Refusal("unsupported", f"architecture {found} cannot be quantized for this engine", where, fix)
    if export.format == "tensorrt-llm" and export.decoder_type is None:
        fix = "name its decoder_type in the kind's file"
        raise Refusal("unsupported", f"ModelOpt's name for the family of {found} is unknown", where, fix)


def _require_unquantized(config: dict[str, Any], where: str) -> None:
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method", "an unnamed method")
        fix = "name the unquantized checkpoint, or set the recipe to none"
        raise Refusal("unsupported", f"the checkpoint is already quantized, with {method}", where, fix)


def _require_readable(checkpoint: Path, config: dict[str, Any], major: int) -> None:
    """Refuse a config of transformers 5, which transformers 4 silently reads with default positions."""
    tokenizer = checkpoint / "tokenizer_config.json"
    named = read_json(tokenizer).get("tokenizer_class") if tokenizer.exists() else None
    if major >= 5 or ("rope_parameters" not in config and named != "TokenizersBackend"):
        return
    sign = "rope_parameters in config.json" if "rope_parameters" in config else f"tokenizer class {named}"
    raise Refusal(
        "unsupported",
        f"the checkpoint was saved by transformers 5 ({sign}), which transformers {major} reads wrongly",
        str(checkpoint),
        "use the checkpoint as its authors published it, or save it with transformers 4: rope_theta and "
        "rope_scaling in config.json, a tokenizer class that transformers 4 knows",
    )


def _require_device(asked: FormatNeeds, device: str, modelopt: str) -> None:
    if device not in asked.devices:
        raise Refusal(
            "unsupported",
            f"ModelOpt {modelopt} cannot do {asked.name} on {device}",
            fix=f"set quantization.device to {' or '.join(asked.devices)}",
        )


def _require_dimensions(checkpoint: Path, asked: FormatNeeds, devices: int) -> None:
    multiple = asked.weight_input_multiple
    shares = (
        (name, shape[1] / (devices if name.endswith(DIVIDED_BY_INPUT) else 1))
        for name, shape in linear_shapes(checkpoint)
    )
    odd = [(name, share) for name, share in shares if share % multiple]
    if odd:
        name, share = odd[0]
        raise Refusal(
            "unsupported",
            f"{asked.name} needs input dimensions that are multiples of {multiple}; {name} has {share:g}"
            + (f" on each of {devices} devices" if devices > 1 else "")
            + (f", and {len(odd) - 1} more" if len(odd) > 1 else ""),
            str(checkpoint),
            "choose another recipe for this model" + (", or fewer devices" if devices > 1 else ""),
        )


def _require_no_texts_needed(formats: Sequence[FormatNeeds]) -> None:
    for asked in formats:
        if asked.needs_calibration:
            what = f"{asked.name} needs texts to calibrate on"
            raise Refusal("input", what, fix="set `quantization.calibration`")
