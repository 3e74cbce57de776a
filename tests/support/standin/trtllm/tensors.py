"""The tensors that TensorRT-LLM 1.2 expects in one rank's file, from a checkpoint's config.json.

Names, shapes and types are those of checkpoints that ModelOpt 0.37 exported (NVFP4: 0.47).
Standard library only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Tensor = tuple[str, Shape]  # safetensors' name of the type, and the shape
TYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
ATTENTION_BIAS = ("Qwen2ForCausalLM",)
HEAD_NORMS = ("Qwen3ForCausalLM",)
FOUR_NORMS = ("Gemma2ForCausalLM",)
OPTIONAL = ("attention.k_cache_scaling_factor", "attention.v_cache_scaling_factor")


@dataclass(frozen=True)
class Rank:
    """One rank of a checkpoint, by its place in the mapping."""

    config: dict[str, Any]
    rank: int

    @property
    def tensor_parallel(self) -> int:
        return int(self.config["mapping"]["tp_size"])

    @property
    def first(self) -> bool:
        return self.rank < self.tensor_parallel

    @property
    def last(self) -> bool:
        mapping = self.config["mapping"]
        return self.rank >= mapping["world_size"] - self.tensor_parallel

    @property
    def layers(self) -> int:
        """Layers of this rank; they are numbered from 0 in its file."""
        return int(self.config["num_hidden_layers"] // self.config["mapping"]["pp_size"])

    @property
    def dtype(self) -> str:
        return TYPES[self.config["dtype"]]

    @property
    def head_size(self) -> int:
        config = self.config
        return int(config.get("head_size") or config["hidden_size"] // config["num_attention_heads"])

    def algo(self, module: str) -> str | None:
        """How a module's weights are quantized."""
        quantization = self.config["quantization"]
        if "quantized_layers" in quantization:
            layer = quantization["quantized_layers"].get(module)
            return str(layer["quant_algo"]) if layer else None
        return None if module in quantization.get("exclude_modules", ()) else quantization["quant_algo"]

    def group(self, module: str) -> int:
        """How many weights of a row share a scale."""
        quantization = self.config["quantization"]
        layer = quantization.get("quantized_layers", {}).get(module, quantization)
        return int(layer.get("group_size") or 1)


def expected(config: dict[str, Any], rank: int) -> dict[str, Tensor]:
    """Every tensor that the model needs, by name."""
    at = Rank(config, rank)
    tensors = dict(_outer(at))
    for layer in range(at.layers):
        tensors |= _layer(at, f"transformer.layers.{layer}")
    return tensors


def optional(name: str) -> bool:
    """Whether a tensor may be there without being needed."""
    return name.endswith(OPTIONAL)


def _outer(at: Rank) -> Iterator[tuple[str, Tensor]]:
    hidden, vocabulary = at.config["hidden_size"], -(-at.config["vocab_size"] // at.tensor_parallel)
    shared = at.config.get("share_embedding_table", False)
    if at.first:
        yield "transformer.vocab_embedding.weight", (at.dtype, (vocabulary, hidden))
    if at.last:
        yield "transformer.ln_f.weight", (at.dtype, (hidden,))
        if not shared:
            yield from linear(at, "lm_head", vocabulary, hidden)


def _layer(at: Rank, prefix: str) -> Iterator[tuple[str, Tensor]]:
    hidden = at.config["hidden_size"]
    norms = ["input_layernorm", "post_layernorm"]
    if at.config["architecture"] in FOUR_NORMS:
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    for norm in norms:
        yield f"{prefix}.{norm}.weight", (at.dtype, (hidden,))
    yield from _attention(at, f"{prefix}.attention")
    yield from _experts(at, f"{prefix}.mlp") if at.config.get("moe") else _mlp(at, f"{prefix}.mlp")


def _attention(at: Rank, prefix: str) -> Iterator[tuple[str, Tensor]]:
    config, split, width = at.config, at.tensor_parallel, at.head_size
    heads = config["num_attention_heads"] // split
    key_heads = -(-config["num_key_value_heads"] // split)
    rows = (heads + 2 * key_heads) * width
    yield from linear(at, f"{prefix}.qkv", rows, config["hidden_size"])
    yield from linear(at, f"{prefix}.dense", config["hidden_size"], heads * width)
    if config["architecture"] in ATTENTION_BIAS:
        yield f"{prefix}.qkv.bias", (at.dtype, (rows,))
    if config["architecture"] in HEAD_NORMS:
        for name in ("q_layernorm", "k_layernorm"):
            yield f"{prefix}.{name}.weight", (at.dtype, (width,))
    if config["quantization"].get("kv_cache_quant_algo"):
        yield f"{prefix}.kv_cache_scaling_factor", ("F32", (1,))


def _mlp(at: Rank, prefix: str) -> Iterator[tuple[str, Tensor]]:
    hidden, inner = at.config["hidden_size"], at.config["intermediate_size"] // at.tensor_parallel
    for name in ("fc", "gate"):
        yield from linear(at, f"{prefix}.{name}", inner, hidden)
    yield from linear(at, f"{prefix}.proj", hidden, inner)


def _experts(at: Rank, prefix: str) -> Iterator[tuple[str, Tensor]]:
    hidden, inner = at.config["hidden_size"], at.config["intermediate_size"] // at.tensor_parallel
    count = at.config["moe"]["num_experts"]
    yield f"{prefix}.router.weight", ("F32", (count, hidden))
    for name, rows, columns in (("fc", 2 * inner, hidden), ("proj", hidden, inner)):
        for tensor, (kind, shape) in linear(at, f"{prefix}.{name}", rows, columns):
            one_for_all = tensor.endswith("activation_scaling_factor")
            yield tensor, (kind, shape if one_for_all else (count, *shape))


def linear(at: Rank, module: str, rows: int, columns: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors of one matrix product, by how it is quantized."""
    group = at.group(module)
    half, grouped = (rows // 2, columns), (rows, columns // group)
    plain: Tensor = (at.dtype, (rows, columns))
    scalar: Tensor = ("F32", (1,))
    prequant: Tensor = (at.dtype, (columns,))
    per_row: Tensor = ("F32", (rows,))
    layouts: dict[str | None, dict[str, Tensor]] = {
        None: {"weight": plain},
        "FP8": {
            "weight": ("F8_E4M3", (rows, columns)),
            "activation_scaling_factor": scalar,
            "weights_scaling_factor": scalar,
        },
        "FP8_PER_CHANNEL_PER_TOKEN": {"weight": ("F8_E4M3", (rows, columns)), "per_channel_scale": per_row},
        # The tool quantizes plain weights itself (tensorrt_llm/models/convert_utils.py).
        "W8A16": {"weight": plain},
        "W8A8_SQ_PER_CHANNEL": {
            "weight": ("I8", (rows, columns)),
            "activation_scaling_factor": scalar,
            "prequant_scaling_factor": prequant,
            "weights_scaling_factor": per_row,
        },
        "W4A16_AWQ": {
            "weight": ("I8", half),
            "prequant_scaling_factor": prequant,
            "weights_scaling_factor": ("F32", grouped),
        },
        "W4A8_AWQ": {
            "weight": ("I8", half),
            "activation_scaling_factor": scalar,
            "prequant_scaling_factor": prequant,
            "weights_scaling_factor": ("F32", grouped),
            "weights_scaling_factor_2": scalar,
        },
        "NVFP4": {
            "weight": ("U8", (rows, columns // 2)),
            "activation_scaling_factor": scalar,
            "weights_scaling_factor": ("F8_E4M3", grouped),
            "weights_scaling_factor_2": scalar,
        },
    }
    for name, tensor in layouts[at.algo(module)].items():
        yield f"{module}.{name}", tensor
