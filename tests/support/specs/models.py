"""Models by their config.json, and what pre-flight reads of them."""

from typing import Any

from engine_specs.preflight.model_facts import ModelFacts, read_model_facts

LLAMA_8B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "max_position_embeddings": 131072,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
}
MIXTRAL: dict[str, Any] = LLAMA_8B | {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "vocab_size": 32000,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}


def facts(config: dict[str, Any], safetensors_bytes: int = 0) -> ModelFacts:
    read = read_model_facts(config, {"config.json": 9, "a.safetensors": safetensors_bytes})
    assert isinstance(read, ModelFacts)
    return read
