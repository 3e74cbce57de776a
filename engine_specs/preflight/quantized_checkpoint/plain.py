"""Whether a checkpoint's weights are plain numbers, and all there: judged by small files, names and sizes.

Invariants:
- Any one sign that weights are quantized is enough: a quantized checkpoint that is taken for a plain one is
  quantized again, from bytes without their scales, and nothing fails until the engine is judged.
- Files that hold less than config.json counts are refused; a type that is wider than config.json says is not
  a sign of anything, as models are read in the type that config.json names.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from engine_specs.preflight.decoder import Config
from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.reading import Problem, StrictFrozen

REPO = "checkpoint.repo"
# Files that quantizers write next to the weights, and who writes them.
SIDECARS = {
    "hf_quant_config.json": "ModelOpt",
    "quantize_config.json": "AutoGPTQ",
    "quant_config.json": "AutoAWQ",
    "quantization_config.json": "a quantizer",
    "quantization_metadata.json": "a quantizer",
}
# Keys of config.json: transformers, compressed-tensors of before, MLX, and tools of their own.
KEYS = ("quantization_config", "compression_config", "quantization", "quant_config")
# Where a key of these says with what.
METHODS = ("quant_method", "quant_algo", "format", "mode")
# Names of what only quantized weights have: scales, zero points, packed bits, orders of groups.
NAMES = (
    "*.weight_scale*",
    "*.input_scale",
    "*.[kv]_scale",
    "*_proj_blocks",
    "*_proj_scales",
    "*.qweight",
    "*.qzeros",
    "*.scales",
    "*.g_idx",
    "*.weight_packed",
    "*.weight_zero_point",
    "*.SCB",
    "*.weight.absmax",
    "*.weight.quant_map",
    "*.weight.quant_state.*",
    "*._amax",
    "*.W_q",
    "*:_data",
    "*_proj.scale",
)
PLAIN_TYPES = ("F64", "F32", "F16", "BF16")
# Less of what config.json counts than this is a checkpoint of which something is missing.
LEAST_SHARE = 0.9
# More than this many times what config.json counts is not explained by a wider type.
MOST_TIMES = 2.5
ACCEPTED = "an unquantized checkpoint: engines are judged against vLLM on plain weights"


class SmallFiles(StrictFrozen):
    """What a checkpoint says besides config.json and sizes, as far as it was read: nothing by default."""

    json_files: dict[str, dict[str, Any]] = Field(
        default={}, description="Content of small JSON files, by path: of quantizers, and of the tokenizer."
    )
    template: str = Field(default="", description="Content of chat_template.jinja; empty if there is none.")
    tensors: frozenset[str] = Field(
        default=frozenset(), description="Names of all its tensors; empty if they are not known."
    )
    tensor_types: dict[str, str] = Field(
        default={},
        description="Type of each tensor by its name, from the headers of some of the safetensors files, as "
        "they spell it, such as BF16.",
    )

    def content(self, path: str) -> dict[str, Any]:
        """Return the content of one file; empty if it was not read."""
        return self.json_files.get(path, {})


NOTHING_MORE = SmallFiles()


def quantized_problems(
    repo: str, config: Config, file_bytes: Mapping[str, int], small: SmallFiles
) -> Iterator[Problem]:
    """Yield a problem with every sign that the weights are quantized already."""
    signs = (*_by_config(config), *_by_sidecars(file_bytes, small), *tensor_signs(small.tensor_types))
    if signs:
        yield Problem(REPO, f"weights in {repo} that are already quantized ({'; '.join(signs)})", ACCEPTED)


def size_problems(repo: str, model: ModelFacts) -> Iterator[Problem]:
    """Yield a problem if the files hold much less, or much more, than config.json counts."""
    held, counted = model.checkpoint_bytes, model.counted_bytes
    if not held or not model.surplus_bytes or LEAST_SHARE * counted <= held <= MOST_TIMES * counted:
        return
    amount = "next to nothing" if held * 100 < counted else f"{held / counted:.0%}"
    found = (
        f"{amount} of the weights in {repo}: its safetensors hold {held:,} B, config.json counts "
        f"{counted:,} B in {model.dtype}"
    )
    accepted = (
        "a checkpoint whose files hold what its config.json describes: these are pointers to files, "
        "quantized, incomplete, or of another model"
    )
    yield Problem(REPO, found, accepted)


def tensor_problems(repo: str, model: ModelFacts, small: SmallFiles) -> Iterator[Problem]:
    """Yield a problem if tensors are missing that the architecture names: tools would fill them with noise.

    Mixtures of experts are not looked at: each names its experts in its own way.
    """
    if not small.tensors or model.experts is not None or model.latent is not None:
        return
    needed = ["model.embed_tokens.weight", "model.norm.weight"]
    needed += [
        f"model.layers.{layer}.{one.module}.weight" for layer in range(model.layers) for one in model.weights
    ]
    if missing := [name for name in needed if name not in small.tensors]:
        held = next(iter(sorted(small.tensors - set(needed))), "no others")
        yield Problem(
            REPO,
            f"no tensor {missing[0]} in {repo} ({len(missing)} are missing; it holds {held})",
            f"a checkpoint that names its tensors as {model.architecture} does: saved by save_pretrained of "
            "a whole model, not of a part, an adapter or a model around it",
        )


def _by_config(config: Config) -> Iterator[str]:
    nested = [("", config), *((f"{key}.", part) for key, part in config.items() if isinstance(part, Mapping))]
    for where, part in nested:
        for key in KEYS:
            if present := part.get(key):
                method = _method(present)
                yield method if (where, key) == ("", KEYS[0]) else f"{method}: {where}{key} in config.json"


def _method(present: object) -> str:
    if not isinstance(present, Mapping):
        return str(present)
    return next((str(present[key]) for key in METHODS if present.get(key)), "unknown method")


def _by_sidecars(file_bytes: Mapping[str, int], small: SmallFiles) -> Iterator[str]:
    for name, writer in SIDECARS.items():
        if name in file_bytes or name in small.json_files:
            content = small.content(name)
            method = _method(content.get("quantization", content)) if content else "unknown method"
            yield f"{method}: {name} of {writer}"


def tensor_signs(types: Mapping[str, str]) -> Iterator[str]:
    """Yield the first tensor that plain weights do not have; masks and other buffers are no weights."""
    odd = (
        name
        for name, kind in sorted(types.items())
        if any(fnmatchcase(name, pattern) for pattern in NAMES)
        or (name.endswith(".weight") and kind not in PLAIN_TYPES)
    )
    if first := next(odd, None):
        yield f"tensor {first} of type {types[first]}"
