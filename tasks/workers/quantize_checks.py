"""What can be wrong with a quantization before the model is loaded: read from config.json and tensor headers.

Standard library only, so that the same checks can run where no heavy tool is installed.
Format of the headers: safetensors, an unsigned 64-bit little-endian length and that many bytes of JSON.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker_io import Refusal  # type: ignore[import-not-found]  # a file beside this one

MOST_HEADER_BYTES = 100_000_000
NOT_LINEAR = ("embed_tokens", "lm_head", "norm")


def require_supported(checkpoint: Path, params: dict[str, Any]) -> None:
    """Refuse what cannot be quantized as asked.

    Args:
        checkpoint: directory with config.json and safetensors.
        params: `recipe` (name, preset, needs_calibration, weight_input_multiple), `kv_cache` (name, preset),
            `architectures`, `export_format`, `calibration`.

    Raises:
        Refusal: wrong format, unknown architecture, quantized already, dimension that does not divide, or
            no texts where the recipe needs them.
    """
    config = read_json(checkpoint / "config.json")
    recipe, kv_cache = params["recipe"], params["kv_cache"]
    if params["export_format"] != "hf":
        raise Refusal(
            "unsupported", f"export format {params['export_format']!r}", fix="this worker writes `hf`"
        )
    if not recipe["preset"] and not kv_cache["preset"]:
        raise Refusal(
            "input", "there is nothing to quantize", fix="leave the stage out where the recipe is none"
        )
    _require_architecture(config, params["architectures"], str(checkpoint))
    _require_unquantized(config, str(checkpoint))
    _require_dimensions(checkpoint, recipe)
    if (recipe["needs_calibration"] or kv_cache["needs_calibration"]) and not params["calibration"]:
        asking = recipe if recipe["needs_calibration"] else kv_cache
        raise Refusal(
            "input", f"{asking['name']} needs texts to calibrate on", fix="set `quantization.calibration`"
        )


def linear_shapes(checkpoint: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name and shape (output, input) of each weight matrix of a linear layer, without reading any weights."""
    for file in sorted(checkpoint.glob("*.safetensors")):
        for name, tensor in sorted(read_header(file).items()):
            shape = tensor.get("shape", ())
            if name.endswith(".weight") and len(shape) == 2 and not any(part in name for part in NOT_LINEAR):
                yield name, (shape[0], shape[1])


def read_header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensors by name, with dtype, shape and offsets."""
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 0 < length <= MOST_HEADER_BYTES:
            raise Refusal("input", "this is no safetensors file", str(file), "fetch the checkpoint again")
        header: dict[str, Any] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return header


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


def weight_bytes(checkpoint: Path) -> int:
    """Size of all safetensors of a checkpoint."""
    return sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))


def _require_architecture(config: dict[str, Any], supported: list[str], where: str) -> None:
    found = config.get("architectures") or ["none"]
    if found[0] not in supported:
        fix = f"supported are {', '.join(supported)}"
        raise Refusal(
            "unsupported", f"architecture {found[0]} cannot be quantized for this engine", where, fix
        )


def _require_unquantized(config: dict[str, Any], where: str) -> None:
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method", "an unnamed method")
        fix = "name the unquantized checkpoint, or set the recipe to none"
        raise Refusal("unsupported", f"the checkpoint is quantized already, with {method}", where, fix)


def _require_dimensions(checkpoint: Path, recipe: dict[str, Any]) -> None:
    multiple = recipe["weight_input_multiple"]
    odd = [(name, shape[1]) for name, shape in linear_shapes(checkpoint) if shape[1] % multiple]
    if odd:
        name, size = odd[0]
        raise Refusal(
            "unsupported",
            f"{recipe['name']} needs input dimensions that divide by {multiple}; {name} has {size}"
            + (f", and {len(odd) - 1} more" if len(odd) > 1 else ""),
            str(checkpoint),
            "choose another recipe for this model",
        )
