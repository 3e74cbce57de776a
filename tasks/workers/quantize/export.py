"""Calibrate, quantize and export a checkpoint with NVIDIA ModelOpt: the heavy half of `main`.

Invariants:
- One process, one model, one export: ModelOpt rewrites the model that it is given.
- Scales that are zero, infinite or not a number never leave this module.
- The tokenizer and the generation config are the checkpoint's own, byte for byte.
"""

import shutil
from pathlib import Path
from typing import Any

import modelopt
import modelopt.torch.quantization as mtq
import torch
import transformers
from modelopt.torch.export import export_hf_checkpoint

from tasks.workers.common.io import say
from tasks.workers.common.json_files import read_json, write_json
from tasks.workers.common.requests import Result
from tasks.workers.common.safetensors import linear_bytes, linear_weights, weight_bytes
from tasks.workers.quantize.model import TokenRows, load_model, mean_loss, read_token_rows, run_through
from tasks.workers.quantize.modelopt_versions import configuration, require_line
from tasks.workers.quantize.request import QuantizeParams, QuantizeRequest
from tasks.workers.quantize.scales import computes, format_bits, layer_formats, require_finite_scales
from tasks.workers.quantize.search import search
from tasks.workers.quantize.trtllm import export_trtllm

REPORT_FILE = "quantization_report.json"
# Tokenizer and generation config by the names that transformers gives them; the export writes none of these.
SIDE_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
    "generation_config.json",
)


def quantize(request: QuantizeRequest) -> Result:
    """Load, calibrate, export, and write the report; the request has passed the checks of `main`."""
    params, checkpoint = request.params, request.inputs["checkpoint"]
    require_line(request.admission.modelopt)
    rows, left_out = read_token_rows(request, checkpoint)
    if left_out:
        say(f"{len(left_out)} calibration texts of fewer than two tokens are left out")
    say(f"loading {weight_bytes(checkpoint)} bytes of weights")
    model = load_model(checkpoint, params.device)
    loss_before = mean_loss(model, rows)
    say(f"quantizing with {params.recipe.name}, {len(rows)} calibration texts")
    model, choices = quantized(model, params, rows)
    require_finite_scales(model)
    loss_after = _loss_after(model, params.device, rows)
    formats = layer_formats(model)
    _export(model, params, checkpoint, request.output)
    report = {
        "recipe": params.recipe.name,
        "kv_cache": params.kv_cache.name,
        "weight_bytes_before": weight_bytes(checkpoint),
        "weight_bytes_after": weight_bytes(request.output),
        "effective_bits": 8 * linear_bytes(request.output) / linear_weights(checkpoint),
        "formats": formats,
        "format_bits": format_bits(formats),
        "choices": choices,
        "left_out": exported_exclusions(request.output),
        "calibration_ids": [name for name, _ in rows],
        "calibration_left_out": left_out,
        "calibration_tokens": sum(len(row) for _, row in rows),
        "loss_before_nats_per_token": loss_before,
        "loss_after_nats_per_token": loss_after,
    }
    write_json(request.output / REPORT_FILE, report)
    metrics = {key: value for key, value in report.items() if not isinstance(value, list | dict)}
    return Result(metrics=metrics | {"quantized_layers": len(formats)}, tools=tool_versions())


def quantized(model: Any, params: QuantizeParams, rows: TokenRows) -> tuple[Any, dict[str, str]]:
    """The model with its quantizers, and what a search chose for each layer ({} without a search)."""
    if params.search:
        return search(model, params.search, params.kv_cache, rows)
    config = configuration(params)
    if config is None:
        return model, {}
    # Without a loop ModelOpt takes the weights' scales from the weights; with one that runs nothing it has
    # none.
    return mtq.quantize(model, config, (lambda m: run_through(m, rows)) if rows else None), {}


def _loss_after(model: Any, device: str, rows: TokenRows) -> float | None:
    if rows and not computes(model, device):
        say("the loss after quantization is left out: ModelOpt computes FP4 blocks only on GPUs")
        return None
    loss: float | None = mean_loss(model, rows)
    return loss


def _export(model: Any, params: QuantizeParams, checkpoint: Path, output: Path) -> None:
    if params.export.format == "hf":
        export_hf_checkpoint(model, export_dir=output)
    else:
        export_trtllm(model, params, checkpoint, output)
    copy_side_files(checkpoint, output)


def copy_side_files(checkpoint: Path, output: Path) -> None:
    """Copy what the export leaves out: tokenizer and generation config, byte for byte."""
    for pattern in SIDE_FILES:
        for file in checkpoint.glob(pattern):
            shutil.copyfile(file, output / file.name)


def exported_exclusions(output: Path) -> list[str]:
    """Modules that the export says it left as they were."""
    described = output / "hf_quant_config.json"
    described = described if described.exists() else output / "config.json"
    return sorted(read_json(described)["quantization"].get("exclude_modules") or [])


def tool_versions() -> dict[str, str]:
    """Versions of the tools that shape the result."""
    return {
        "nvidia-modelopt": modelopt.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
