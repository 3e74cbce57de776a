"""TensorRT-LLM's layout: which part of which original matrix each tensor of each rank holds.

Ranks count tensor-parallel devices first, then pipeline stages; a stage numbers its layers from zero. Rows
of qkv are a device's heads of q, then of k, then of v; dense and proj are divided by columns, everything
else by rows. Experts stand in one tensor, each with the rows of w3 before those of w1.
"""

from collections.abc import Iterator
from typing import Any

import torch

from support.checkpoints.quantization.dequantize import Linear, Tensors


def trtllm_pairs(
    ranks: list[Tensors], source: Tensors, config: dict[str, Any]
) -> Iterator[tuple[str, Linear, torch.Tensor]]:
    """Every linear layer of every rank, next to the part of the original weights that it stands for."""
    mapping = config["mapping"]
    devices = mapping["tp_size"]
    layers = config["num_hidden_layers"] // mapping["pp_size"]
    for rank, tensors in enumerate(ranks):
        stage, device = divmod(rank, devices)
        for index in range(layers):
            parts = _layer(source, stage * layers + index, device, devices)
            for name, original in parts.items():
                base = f"transformer.layers.{index}.{name}"
                for number, linear in enumerate(_linears(tensors, base, original)):
                    yield f"rank{rank} {base} {number}", linear, original[number]


def keeps_embedding_and_head(ranks: list[Tensors], source: Tensors, config: dict[str, Any]) -> bool:
    """Whether the ranks' parts of the embedding and of the head, put together, are the originals."""
    devices = config["mapping"]["tp_size"]
    embedding = source["model.embed_tokens.weight"]
    first, last = ranks[:devices], ranks[-devices:]
    whole = torch.cat([rank["transformer.vocab_embedding.weight"] for rank in first])
    if config["share_embedding_table"]:
        return torch.equal(whole, embedding)
    head = torch.cat([rank["lm_head.weight"] for rank in last])
    return torch.equal(whole, embedding) and torch.equal(head, source.get("lm_head.weight", embedding))


def _linears(tensors: Tensors, base: str, original: list[torch.Tensor]) -> Iterator[Linear]:
    weight, scale = tensors[f"{base}.weight"], tensors.get(f"{base}.weights_scaling_factor")
    channel = tensors.get(f"{base}.per_channel_scale")
    scale = scale if channel is None else channel
    scale_2 = tensors.get(f"{base}.weights_scaling_factor_2")
    before = tensors.get(f"{base}.prequant_scaling_factor")
    if weight.dim() == 2:
        yield Linear(weight, scale, scale_2, before)
        return
    for expert in range(len(original)):
        yield Linear(weight[expert], None if scale is None else scale[expert], scale_2, before)


def _layer(source: Tensors, index: int, device: int, devices: int) -> dict[str, list[torch.Tensor]]:
    base = f"model.layers.{index}."

    def part(name: str, dim: int) -> torch.Tensor:
        return source[f"{base}{name}.weight"].chunk(devices, dim)[device]

    attention = {
        "attention.qkv": [torch.cat([part(f"self_attn.{name}_proj", 0) for name in "qkv"])],
        "attention.dense": [part("self_attn.o_proj", 1)],
    }
    experts = [name for name in source if name.startswith(f"{base}block_sparse_moe.experts.")]
    if not experts:
        return attention | {
            "mlp.fc": [part("mlp.gate_proj", 0)],
            "mlp.gate": [part("mlp.up_proj", 0)],
            "mlp.proj": [part("mlp.down_proj", 1)],
        }
    each = [f"block_sparse_moe.experts.{number}" for number in range(len(experts) // 3)]
    return attention | {
        "mlp.fc": [torch.cat([part(f"{one}.w3", 0), part(f"{one}.w1", 0)]) for one in each],
        "mlp.proj": [part(f"{one}.w2", 1) for one in each],
    }
