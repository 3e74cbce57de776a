"""Reads a checkpoint into Hugging Face's model, and says which of its tensors each weight of a graph is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from tasks.workers.aot.attention import GROUPED, register_attention
from tasks.workers.aot.config import BuildPlan
from tasks.workers.aot.linear import Part, join, read_tensors, round_inputs, split_quantized, use_quantized
from tasks.workers.common.io import Refusal
from tasks.workers.common.safetensors import tensor_headers
from tasks.workers.completions_server.facts import CONSTANTS_FILE, Source

# Layers of one input, in the order in which a decoder layer calls them.
JOINED = {"self_attn": ("q_proj", "k_proj", "v_proj"), "mlp": ("gate_proj", "up_proj")}
# Scales are constants: joined layers have them in another form than the checkpoint.
STORED_FIELDS = ("weight", "bias")
# Of the free memory of a GPU, for the weights of an eager model; the rest is for what it computes.
EAGER_SHARE = 0.8
# No weight matrix is as small, no table of positions as large.
LARGEST_CONSTANT_BYTES = 1 << 24


def load_eager(plan: BuildPlan, dtype: torch.dtype) -> PreTrainedModel:
    """The checkpoint as Hugging Face computes it, in `dtype`: quantized weights are widened.

    It is on the engine's device, unless its memory is too small: an engine's may be half as large.
    """
    tensors, quantized = split_quantized(dict(read_tensors(plan.checkpoint)))
    widened = {name: weight.dequantized(dtype) for name, weight in quantized.items()}
    model = _instantiate(plan, tensors | widened, dtype, "eager")
    round_inputs(model, quantized)
    held = sum(parameter.nbytes for parameter in model.parameters())
    return model.to(_device_for(held, plan.target.device)).requires_grad_(False)


def load_model(plan: BuildPlan) -> PreTrainedModel:
    """The checkpoint as it is compiled: quantized layers as they are, on a GPU with joined projections."""
    dtype = getattr(torch, plan.dtype)
    tensors, quantized = split_quantized(dict(read_tensors(plan.checkpoint)))
    widened = {name: weight.dequantized(dtype) for name, weight in quantized.items()}
    register_attention()
    model = _instantiate(plan, tensors | widened, dtype, GROUPED)
    use_quantized(model, quantized, dtype)
    if plan.target.device == "cuda":
        join_projections(model)
    return model.to(plan.target.device).requires_grad_(False)


def join_projections(model: PreTrainedModel) -> None:
    """Join the projections of each decoder layer that read the same input, in place."""
    for layer in model.model.layers:
        for parent, names in JOINED.items():
            join(layer.get_submodule(parent), names)


def weight_sources(
    plan: BuildPlan, model: PreTrainedModel, names: list[str]
) -> tuple[dict[str, Source], dict[str, torch.Tensor]]:
    """Where the weights of graphs come from: tensors of the checkpoint, and what no file of it holds.

    Args:
        plan: of the build.
        model: what was compiled.
        names: of the weights that the graphs read; each begins with `model.`.

    Raises:
        Refusal: a weight is no tensor of the checkpoint, and too large to be a constant.
    """
    stored = {name for name, _ in tensor_headers(plan.checkpoint)}
    held = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    sources, constants = {}, {}
    for name in names:
        path = name.removeprefix("model.")
        tensor = held[path]
        origins = _origins(model, path, tensor)
        if path.rpartition(".")[2] in STORED_FIELDS and stored.issuperset(origins):
            sources[name] = Source(origins, str(tensor.dtype).removeprefix("torch."))
            continue
        if tensor.nbytes > LARGEST_CONSTANT_BYTES:
            raise Refusal(
                "input",
                f"the checkpoint has no tensor {origins[0]}, which the architecture calls so",
                "*.safetensors",
                "save the checkpoint again with transformers' save_pretrained",
            )
        constants[name] = tensor.detach().cpu().contiguous()
    return sources, constants


def write_constants(constants: dict[str, torch.Tensor], tree: Path) -> None:
    """Write what no file of the checkpoint holds."""
    save_file(constants, str(tree / CONSTANTS_FILE))


def _origins(model: PreTrainedModel, path: str, tensor: torch.Tensor) -> tuple[str, ...]:
    """The tensors of a checkpoint that a parameter is, by their names there."""
    parent, _, field = path.rpartition(".")
    owner, _, last = parent.rpartition(".")
    part = model.get_submodule(owner) if last == "joined" else None
    if isinstance(part, Part):
        layer = owner.rpartition(".")[0]
        return tuple(f"{layer}.{name}.{field}" for name in part.names)
    embedding = model.get_input_embeddings()
    if isinstance(embedding, nn.Embedding) and tensor is embedding.weight:
        return ("model.embed_tokens.weight",)  # the head may be the same tensor
    return (path,)


def _device_for(held: int, device: str) -> str:
    """Where a model of so many bytes has room."""
    if device == "cuda" and held > EAGER_SHARE * torch.cuda.mem_get_info()[0]:
        return "cpu"
    return device


def _instantiate(
    plan: BuildPlan, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, attention: str
) -> PreTrainedModel:
    config = transformers.AutoConfig.from_pretrained(str(plan.checkpoint))
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # these weights are plain, so there is nothing to unpack
    cast = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    model, found = getattr(transformers, plan.architecture).from_pretrained(
        None,
        config=config,
        state_dict=cast,
        dtype=dtype,
        attn_implementation=attention,
        output_loading_info=True,
    )
    _check_complete(found)
    return model.eval()


def _check_complete(found: dict[str, Any]) -> None:
    """Refuse an incomplete checkpoint: the library would fill the gaps with random numbers and continue."""
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(map(str, found.get(problem) or ()))
        if names:
            raise Refusal(
                "input",
                f"the weights do not fit the architecture: {len(names)} {problem}, such as {names[0]}",
                "*.safetensors",
                "fetch the checkpoint again, or check `architectures` in its config.json",
            )
