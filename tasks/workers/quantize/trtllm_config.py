"""TensorRT-LLM's config.json of a checkpoint, completed from Hugging Face's config.json.

Standard library only.
If TensorRT-LLM is installed, ModelOpt asks it for this file; otherwise it writes what it knows:
some keys are then missing or not what the builder needs. What is corrected here, with the source:
- logits_dtype: float32 (ModelOpt writes float16 for bfloat16 models; TensorRT-LLM's own default is float32,
  and log-probabilities are compared).
- rotary_scaling if it is missing, none for the type `default`, which TensorRT-LLM does not name; all of what
  YaRN is computed from, as TensorRT-LLM's defaults are not Hugging Face's; and for linear scaling as many
  positions as the model takes, as its table of them has max_position_embeddings rows:
  tensorrt_llm/{functional,layers/attention}.py.
- qwen_type, intermediate_size, norm_epsilon and rotary_base of Qwen; no KV cache algorithm if the cache is
  not quantized: tensorrt_llm/quantization/quantize_by_modelopt.py.
- seq_length and use_logn_attn of Qwen, which its layers read and its configuration has no default for:
  tensorrt_llm/models/qwen/{model,config}.py.
- attn_bias, mlp_bias: TensorRT-LLM's defaults are those of Qwen 1 and 2 (true) and of Llama (false), which
  are wrong for Qwen 3 and for Llamas with biases: tensorrt_llm/models/{qwen,llama}/config.py.
- query_pre_attn_scalar and the two soft caps of Gemma 2: tensorrt_llm/models/gemma/config.py.
The worker of trt-plan holds the result against `engine_specs/data/model_files.yaml`.
"""

from typing import Any

from tasks.workers.common.io import Refusal

QWEN = {"qwen2", "qwen3"}
# What TensorRT-LLM's own conversion writes for Qwen 2 and 3, whose configurations do not state it; it matters
# only with use_logn_attn, which was a setting of Qwen 1.
QWEN_SEQ_LENGTH = 8192
DEFAULT = "default"
GEMMA_2_KEYS = ("query_pre_attn_scalar", "final_logit_softcapping", "attn_logit_softcapping")
Config = dict[str, Any]


def completed(written: Config, source: Config, decoder_type: str, quantization: Config) -> Config:
    """A copy of the exported config.json with everything that the builder needs.

    Args:
        written: config.json as ModelOpt wrote it.
        source: the checkpoint's configuration in Hugging Face's layout, with the defaults of its model type.
        decoder_type: ModelOpt's name for the model family.
        quantization: what the recipe asks for: `quant_algo` if the export only declares it (otherwise None),
            and `kv_cache_quant_algo`, None if the cache stays as it is.

    Raises:
        Refusal: the exported rotary base is not the checkpoint's.
    """
    config = {key: value for key, value in written.items() if key != "rotary_scaling"}
    config |= {"logits_dtype": "float32", "decoder": decoder_type}
    config |= _rotary(written, source) | _biases(source) | _family(source)
    config["quantization"] = _quantization(written["quantization"], quantization)
    return config


def _rotary(written: Config, source: Config) -> Config:
    base = float(source.get("rope_theta", 10000.0))
    if written.get("rotary_base", base) != base:
        what = f"the export has rotary_base {written['rotary_base']}, the checkpoint rope_theta {base}"
        raise Refusal("regression", what, "config.json", "report it: the engine would compute something else")
    return {"rotary_base": base} | _scaling(
        written.get("rotary_scaling") or source.get("rope_scaling"), source
    )


def _scaling(scaling: Config | None, source: Config) -> Config:
    """The scaling of positions and the rows of their table, as far as they differ from the export's."""
    named = scaling.get("rope_type", scaling.get("type", DEFAULT)) if scaling else DEFAULT
    if scaling is None or named == DEFAULT:
        return {}
    if named == "linear":
        positions = int(source["max_position_embeddings"] * scaling.get("factor", 1.0))
        return {"rotary_scaling": scaling, "max_position_embeddings": positions}
    return {"rotary_scaling": _yarn(scaling, source) if named == "yarn" else scaling}


def _yarn(scaling: Config, source: Config) -> Config:
    """A YaRN scaling with every key that TensorRT-LLM reads, at Hugging Face's default."""
    both = bool(scaling.get("mscale") and scaling.get("mscale_all_dim"))
    original = scaling.get("original_max_position_embeddings") or source["max_position_embeddings"]
    return scaling | {
        "original_max_position_embeddings": original,
        "beta_fast": scaling.get("beta_fast") or 32.0,
        "beta_slow": scaling.get("beta_slow") or 1.0,
        "mscale": scaling["mscale"] if both else 1.0,
        "mscale_all_dim": scaling["mscale_all_dim"] if both else 0.0,
    }


def _biases(source: Config) -> Config:
    attention = source["model_type"] == "qwen2" or bool(source.get("attention_bias"))
    return {"attn_bias": attention, "mlp_bias": bool(source.get("mlp_bias"))}


def _family(source: Config) -> Config:
    if source["model_type"] in QWEN:
        return {
            "qwen_type": source["model_type"],
            "intermediate_size": source["intermediate_size"],
            "norm_epsilon": source["rms_norm_eps"],
            "seq_length": source.get("seq_length", QWEN_SEQ_LENGTH),
            "use_logn_attn": source.get("use_logn_attn", False),
        }
    if source["model_type"] == "gemma2":
        return {key: source[key] for key in GEMMA_2_KEYS} | {"inter_layernorms": True}
    return {}


def _quantization(written: Config, asked: Config) -> Config:
    quantization = written | {"kv_cache_quant_algo": asked["kv_cache_quant_algo"]}
    if asked["quant_algo"]:
        quantization["quant_algo"] = asked["quant_algo"]
    if "exclude_modules" in quantization:
        quantization["exclude_modules"] = sorted(quantization["exclude_modules"])
    return quantization
