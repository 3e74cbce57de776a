"""A checkpoint that becomes part of an engine as it is: checked before anything is loaded, then copied.

Standard library only. The formats are ModelOpt's: hf_quant_config.json is {"producer", "quantization":
{"quant_algo", "kv_cache_quant_algo", "quantized_layers", ...}}. TensorRT-LLM and vLLM read that file and
accept only names that they know, but check that only after minutes of starting.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tasks.workers.common.io import Refusal
from tasks.workers.common.json_files import read_json
from tasks.workers.common.manifest import sha256_of

CONFIG = "config.json"
QUANTIZATION = "hf_quant_config.json"
TOKENIZER = "tokenizer.json"
WEIGHTS_INDEX = "model.safetensors.index.json"
# What config.json alone names: which format it is was judged before the checkpoint was fetched.
NAMED_METHODS = ("compressed-tensors", "fp8", "mxfp4")
FIX = "quantize again: `enginery build --force`"


class Accepted(Protocol):
    """What a checkpoint may be, by names of hf_quant_config.json; None: unquantized."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """Classes of models that the kind serves."""

    @property
    def quant_algos(self) -> tuple[str | None, ...]:
        """Formats of the weights."""

    @property
    def layer_quant_algos(self) -> tuple[str, ...]:
        """Formats of single layers, if each has its own."""

    @property
    def kv_cache_quant_algos(self) -> tuple[str | None, ...]:
        """Formats of the KV cache."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that the tool can load, as far as its small files say.

    Attributes:
        directory: where it is.
        architecture: class of the model.
        quant_algo: format of the weights by ModelOpt's name; None if they are not quantized.
        kv_cache_quant_algo: the same for stored keys and values.
        tokenizer_sha256: digest of tokenizer.json.
    """

    directory: Path
    architecture: str
    quant_algo: str | None
    kv_cache_quant_algo: str | None
    tokenizer_sha256: str


def read_checkpoint(directory: Path, asked: Accepted) -> Checkpoint:
    """Read what the checkpoint says about itself, and check it against what the variant asks for.

    Args:
        directory: a Hugging Face checkpoint.
        asked: what it must be.

    Raises:
        Refusal: something is missing, or is not what was asked for.
    """
    config = read_json(directory / CONFIG, FIX)
    quantization = _quantization(directory, config)
    _require_weights(directory)
    if not (directory / TOKENIZER).is_file():
        raise Refusal("input", f"the checkpoint has no {TOKENIZER}", str(directory))
    algo, kv_algo = quantization.get("quant_algo"), quantization.get("kv_cache_quant_algo")
    _require_one_of("quant_algo", algo, asked.quant_algos, directory)
    _require_one_of("kv_cache_quant_algo", kv_algo, asked.kv_cache_quant_algos, directory)
    for name, layer in (quantization.get("quantized_layers") or {}).items():
        _require_one_of(f"quant_algo of {name}", layer["quant_algo"], asked.layer_quant_algos, directory)
    return Checkpoint(
        directory=directory,
        architecture=_architecture(config, asked.architectures, directory),
        quant_algo=algo,
        kv_cache_quant_algo=kv_algo,
        tokenizer_sha256=sha256_of(directory / TOKENIZER),
    )


def copy_checkpoint(source: Path, output: Path) -> int:
    """Copy all files, so that the output owns its bytes; returns their number (blocks may be shared)."""
    copied = 0
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        copy = output / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        _copy_file(file, copy)
        copied += copy.stat().st_size
    return copied


def _copy_file(source: Path, copy: Path) -> None:
    """Copy within the kernel, which shares blocks if it can; otherwise through this process."""
    left = source.stat().st_size
    with source.open("rb") as reader, copy.open("xb") as writer:
        try:
            while left > 0 and (moved := os.copy_file_range(reader.fileno(), writer.fileno(), left)):
                left -= moved
        except OSError:
            # Not possible between these file systems. Whatever was copied is overwritten.
            left = -1
    if left:
        shutil.copyfile(source, copy)


def _architecture(config: Mapping[str, Any], known: Sequence[str], directory: Path) -> str:
    names = config.get("architectures") or []
    if len(names) == 1 and names[0] in known:
        return str(names[0])
    raise Refusal(
        "unsupported",
        f"the checkpoint has the architectures {names}; this kind serves {', '.join(known)}",
        where=str(directory / CONFIG),
    )


def _quantization(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What hf_quant_config.json says, or which method config.json names; empty if nothing is quantized."""
    path = directory / QUANTIZATION
    if not path.is_file():
        described = config.get("quantization_config") or config.get("compression_config") or {}
        if (method := described.get("quant_method")) in NAMED_METHODS:
            return {"quant_algo": method}
        if described:
            what = f"the checkpoint is quantized but has no {QUANTIZATION}, which its server reads"
            raise Refusal("input", what, str(directory), FIX)
        return {}
    quantization = read_json(path, FIX).get("quantization")
    if not isinstance(quantization, dict):
        raise Refusal("input", f"{QUANTIZATION} has no mapping `quantization`", str(path), FIX)
    return quantization


def _require_one_of(what: str, found: str | None, accepted: Sequence[str | None], directory: Path) -> None:
    if found in accepted:
        return
    wanted = " or ".join("nothing" if name is None else name for name in accepted)
    raise Refusal(
        "unsupported",
        f"{what} is {found or 'nothing'}; the recipe, this kind and the GPU need {wanted}",
        where=str(directory / QUANTIZATION),
        fix="choose a recipe whose formats the GPU computes with",
    )


def _require_weights(directory: Path) -> None:
    """Refuse a checkpoint without weights, or with a part missing."""
    present = {path.name for path in directory.glob("*.safetensors")}
    index = directory / WEIGHTS_INDEX
    named = set(read_json(index, FIX)["weight_map"].values()) if index.is_file() else set()
    if missing := sorted(named - present):
        raise Refusal("input", f"the checkpoint lacks {', '.join(missing)}", str(index), FIX)
    if not present:
        raise Refusal("input", "the checkpoint has no weights (*.safetensors)", str(directory), FIX)
