"""Job: write small random checkpoints of any architecture, with a byte-level tokenizer.

params: {"checkpoints": by the folder to write, {"architecture", "config": overrides, "dtype", "recipe",
"shards": bool}}. With a recipe the linear layers of the decoder are stored as ModelOpt's export stores them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tasks.workers.common.io import run
from tasks.workers.common.requests import Nothing, Request, Result

TINY = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,  # compiling is most of the time of these tests, and grows with the layers
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "bos_token_id": None,
    "eos_token_id": 299,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0},
    # Large enough that wrong weights or positions show in the logits.
    "initializer_range": 0.2,
}


# Of what goes into any linear layer, about.
LARGEST_INPUT = 16.0


@dataclass(frozen=True)
class Wanted:
    architecture: str
    dtype: str
    config: dict[str, Any]
    recipe: str = "none"
    shards: bool = False


@dataclass(frozen=True)
class Asked:
    checkpoints: dict[str, Wanted]


def main(request: Request[Asked, Nothing]) -> Result:
    for name, wanted in request.params.checkpoints.items():
        write_checkpoint(request.output / name, wanted)
    return Result({}, {})


def write_checkpoint(folder: Path, wanted: Wanted) -> None:
    torch.manual_seed(0)
    model_class = getattr(transformers, wanted.architecture)
    config = model_class.config_class(**{**TINY, **wanted.config})
    model = model_class(config).to(getattr(torch, wanted.dtype))
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith(("bias", "norm.weight")):
            torch.nn.init.normal_(parameter, mean=1.0 if "norm" in parameter_name else 0.0, std=0.1)
    size = "100KB" if wanted.shards else "5GB"
    model.save_pretrained(folder, max_shard_size=size)
    if wanted.recipe != "none":
        store_quantized(folder, wanted.recipe)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")


def store_quantized(folder: Path, recipe: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        weight = tensors[name].float()
        if recipe == "fp8":
            scale = weight.abs().max() / 448
            tensors[name] = (weight / scale).to(torch.float8_e4m3fn)
            tensors[name.removesuffix("weight") + "input_scale"] = torch.tensor(LARGEST_INPUT / 448)
        else:
            scale = weight.abs().amax(dim=1) / 127
            tensors[name] = (weight / scale[:, None]).round().to(torch.int8)
        tensors[name + "_scale"] = scale
    save_misplaced(tensors, folder / "model.safetensors")
    algo = {"fp8": "FP8", "int8_weight_only": "W8A16"}[recipe]
    quantization = {"quant_algo": algo, "kv_cache_quant_algo": None, "exclude_modules": ["lm_head"]}
    content = {"producer": {"name": "modelopt", "version": "0.47.0"}, "quantization": quantization}
    (folder / "hf_quant_config.json").write_text(json.dumps(content))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {**quantization, "quant_method": "modelopt"}
    (folder / "config.json").write_text(json.dumps(config))


def save_misplaced(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Save tensors behind a header of such a length that they begin at no multiple of 16 bytes."""
    for filler in ("", "." * 8):
        save_file(tensors, file, metadata={"format": "pt", "filler": filler})
        with file.open("rb") as stream:
            if (8 + int.from_bytes(stream.read(8), "little")) % 16:
                return
    raise AssertionError("every header has a length that is a multiple of 16")


def byte_tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


if __name__ == "__main__":
    run(main, Asked, Nothing)
