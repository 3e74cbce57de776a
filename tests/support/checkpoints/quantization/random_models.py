"""Small random models of the architectures that are quantized, run by a toolchain's own interpreter.

Two decoder layers each, dimensions that divide by 128, weights with outliers, and the demo's tokenizer.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers

HEADS = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}
SIZES = HEADS | {"intermediate_size": 512, "num_hidden_layers": 2, "vocab_size": 1024}
COMMON = SIZES | {"max_position_embeddings": 256, "tie_word_embeddings": False}
# Keys that a config.json cannot do without, whatever they are.
NAMES = ("architectures", "model_type", "dtype", "torch_dtype", "transformers_version")
THETA = 50_000.0
LLAMA_3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def save_model(architecture: str, folder: Path, tokenizer: Path) -> None:
    """Write a checkpoint as the installed transformers saves it, with a rotary base that is no default."""
    torch.manual_seed(0)
    model = getattr(transformers, architecture)(_config(architecture)).to(torch.bfloat16)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                weight.normal_(std=0.1)
            elif weight.dim() == 2:
                weight[:, :4] *= 8.0
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / file, folder / file)
    # transformers reads some models through a class of their own, which splits digits as it wants.
    read = transformers.AutoTokenizer.from_pretrained(folder)
    read.backend_tokenizer.save(str(folder / "tokenizer.json"))
    _leave_out_defaults(folder / "config.json", type(model.config)().to_dict())


def _leave_out_defaults(file: Path, defaults: dict[str, object]) -> None:
    """Write a config.json without the keys that its class would read as they are, as publishers may."""
    written = json.loads(file.read_text())
    kept = {key: value for key, value in written.items() if key in NAMES or value != defaults.get(key, ...)}
    file.write_text(json.dumps(kept))


def _config(architecture: str) -> "transformers.PretrainedConfig":
    own = {
        "LlamaForCausalLM": {"tie_word_embeddings": False} | _rotary(LLAMA_3),
        "MixtralForCausalLM": {"num_local_experts": 4, "num_experts_per_tok": 2} | _rotary(),
        "Gemma2ForCausalLM": {"head_dim": 64, "query_pre_attn_scalar": 64, "tie_word_embeddings": True},
        "Qwen2ForCausalLM": {"tie_word_embeddings": True} | _rotary(),
        "Qwen3ForCausalLM": {"head_dim": 64} | _rotary(),
        "Qwen3MoeForCausalLM": {
            "head_dim": 64,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 256,
        }
        | _rotary(),
    }.get(architecture, _rotary())
    kind = getattr(transformers, architecture).config_class
    config = kind(**(COMMON | own))
    config.architectures = [architecture]
    return config


def _rotary(scaling: dict[str, object] | None = None) -> dict[str, object]:
    if transformers.__version__.startswith("4."):
        return {"rope_theta": THETA} | ({"rope_scaling": scaling} if scaling else {})
    return {"rope_parameters": {"rope_theta": THETA} | (scaling or {"rope_type": "default"})}
