"""Exports to TensorRT-LLM's layout: config.json, one rankN.safetensors per device, hf_config.json."""

import shutil
from pathlib import Path
from typing import Any

import torch
from modelopt.torch.export import export_tensorrt_llm_checkpoint, model_config_export

from tasks.workers.common.io import Refusal, say
from tasks.workers.common.json_files import read_json, write_json
from tasks.workers.quantize.modelopt_versions import DECLARED
from tasks.workers.quantize.request import QuantizeParams
from tasks.workers.quantize.trtllm_config import completed

HF_CONFIG = "hf_config.json"
LAYER_CHOICES = "quant_cfg.json"
# ModelOpt 0.37 writes layers of these families, but then refuses to describe them: for that it expects
# TensorRT-LLM next to it. The description differs from Llama's only in keys that `completed` adds.
DESCRIBED_AS_LLAMA = ("qwen", "gemma2")


def export_trtllm(model: Any, params: QuantizeParams, checkpoint: Path, output: Path) -> None:
    """Write a quantized (or untouched) model for the parallelism that was asked for.

    Raises:
        Refusal: ModelOpt cannot write this family, or not in that many parts.
    """
    source = model.config.to_dict()  # config.json may leave out what its model type has by default
    export = params.export
    decoder_type = str(export.decoder_type)
    if params.device == "cuda":
        _gather(model)
    with _Described():
        try:
            export_tensorrt_llm_checkpoint(
                model,
                decoder_type,
                _number_format(model),
                output,
                inference_tensor_parallel=export.tensor_parallel,
                inference_pipeline_parallel=export.pipeline_parallel,
            )
        except (NotImplementedError, AssertionError) as error:
            fix = "choose another recipe or parallelism, or a kind that reads Hugging Face's layout"
            raise Refusal(
                "unsupported", f"ModelOpt cannot export this: {error}", str(checkpoint), fix
            ) from error
    written = read_json(output / "config.json")
    asked = {
        "quant_algo": DECLARED.get(params.recipe.preset or ""),
        "kv_cache_quant_algo": params.kv_cache.quant_algo,
    }
    config = completed(written, source, decoder_type, asked)
    write_json(output / "config.json", config)
    if config["quantization"]["quant_algo"] != "MIXED_PRECISION":
        (output / LAYER_CHOICES).unlink(
            missing_ok=True
        )  # written for unquantized models too, for which nobody reads it
    shutil.copyfile(checkpoint / "config.json", output / HF_CONFIG)


class _Described:
    """A context in which ModelOpt describes the families above as it describes Llama."""

    def __enter__(self) -> None:
        self._original = model_config_export.convert_to_tensorrt_llm_config
        model_config_export.convert_to_tensorrt_llm_config = self._describe

    def __exit__(self, *_error: object) -> None:
        model_config_export.convert_to_tensorrt_llm_config = self._original

    def _describe(self, model_config: Any, quant_config: Any, hf_config: Any = None) -> Any:
        first = model_config.layers[0]
        family = first.decoder_type
        if family in DESCRIBED_AS_LLAMA:
            first.decoder_type = "llama"
        try:
            return self._original(model_config, quant_config, hf_config=hf_config)
        finally:
            first.decoder_type = family


def _number_format(model: Any) -> torch.dtype:
    """The format of unquantized weights: the model's own, or bfloat16 if that is too wide."""
    if model.dtype in (torch.float16, torch.bfloat16):
        own: torch.dtype = model.dtype
        return own
    say(f"weights that stay unquantized become bfloat16: TensorRT-LLM does not compute in {model.dtype}")
    return torch.bfloat16


def _gather(model: Any) -> None:
    """Remove the hooks that spread the model over GPUs, so that every weight can be read."""
    from accelerate.hooks import remove_hook_from_module

    remove_hook_from_module(model, recurse=True)
