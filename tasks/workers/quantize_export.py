"""Calibrate, quantize and export a checkpoint with NVIDIA ModelOpt: the heavy half of `quantize_modelopt`.

Invariants:
- One process, one model, one export: ModelOpt rewrites the model that it is given.
- Scales that are zero, infinite or no number never leave this module.
- The tokenizer and the generation config are the checkpoint's own, byte for byte.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # a checkpoint is read from disk, whatever its files refer to

import modelopt
import modelopt.torch.quantization as mtq
import torch
import transformers
from modelopt.torch.export import export_hf_checkpoint
from modelopt.torch.quantization.nn import TensorQuantizer
from modelopt.torch.quantization.utils import update_quant_cfg_with_kv_cache_quant
from quantize_checks import (  # type: ignore[import-not-found]  # a file beside this one
    read_json,
    weight_bytes,
)
from transformers import AutoModelForCausalLM, AutoTokenizer
from worker_io import (  # type: ignore[import-not-found]  # a file beside this one
    Refusal,
    Request,
    Result,
    say,
)

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

TokenRows = list[tuple[str, "torch.Tensor"]]


def quantize(request: Request) -> Result:
    """Load, calibrate, export, and write the report; the request has passed `require_supported`."""
    checkpoint = request.inputs["checkpoint"]
    rows = read_token_rows(request, checkpoint)
    say(f"loading {weight_bytes(checkpoint)} bytes of weights")
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto").eval()
    loss_before = mean_loss(model, rows)
    say(f"quantizing with {request.params['recipe']['name']}, {len(rows)} calibration texts")
    model = mtq.quantize(model, quantization_config(request.params), lambda m: run_through(m, rows))
    require_finite_scales(model)
    loss_after = mean_loss(model, rows)
    formats = layer_formats(model)
    export_hf_checkpoint(model, export_dir=request.output)
    copy_side_files(checkpoint, request.output)
    report = {
        "recipe": request.params["recipe"]["name"],
        "kv_cache": request.params["kv_cache"]["name"],
        "weight_bytes_before": weight_bytes(checkpoint),
        "weight_bytes_after": weight_bytes(request.output),
        "formats": formats,
        "left_out": exported_exclusions(request.output),
        "calibration_ids": [name for name, _ in rows],
        "calibration_tokens": sum(len(row) for _, row in rows),
        "loss_before_nats_per_token": loss_before,
        "loss_after_nats_per_token": loss_after,
    }
    (request.output / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    metrics = {key: value for key, value in report.items() if not isinstance(value, list | dict)}
    return Result(metrics=metrics | {"quantized_layers": len(formats)}, tools=tool_versions())


def read_token_rows(request: Request, checkpoint: Path) -> TokenRows:
    """Token ids, int64 [tokens], of every calibration text, cut to the sequence length; by the text's id."""
    if not request.params["calibration"]:
        return []
    length = request.params["calibration"]["sequence_length"]
    texts = request.inputs["calibration"] / "texts.jsonl"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    rows = []
    with texts.open(encoding="utf-8") as stream:
        for line in stream:
            text = json.loads(line)
            ids = tokenizer(text["text"], truncation=True, max_length=length).input_ids
            if len(ids) < 2:
                raise Refusal("input", f"text {text['id']} has {len(ids)} tokens", str(texts), "leave it out")
            rows.append((text["id"], torch.tensor(ids)))
    return rows


def quantization_config(params: dict[str, Any]) -> dict[str, Any]:
    """ModelOpt's preset for the recipe, with the KV cache's entries behind it."""
    preset = params["recipe"]["preset"]
    config: dict[str, Any] = _preset(preset) if preset else {}
    kv_preset = params["kv_cache"]["preset"]
    if kv_preset:
        config = update_quant_cfg_with_kv_cache_quant(config, _preset(kv_preset)["quant_cfg"])
    return config


def _preset(name: str) -> dict[str, Any]:
    preset: dict[str, Any] | None = getattr(mtq, name, None)
    if preset is None:
        raise Refusal("unsupported", f"ModelOpt {modelopt.__version__} has no preset {name}")
    return preset


@torch.inference_mode()  # type: ignore[untyped-decorator]
def run_through(model: Any, rows: TokenRows) -> None:
    """Run every text through the model, so that the quantizers see its activations."""
    for _, row in rows:
        model(input_ids=row[None], use_cache=False)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def mean_loss(model: Any, rows: TokenRows) -> float | None:
    """Next-token loss on the texts, in nats per token; None where there are no texts."""
    total, tokens = 0.0, 0
    for _, row in rows:
        logits = model(input_ids=row[None], use_cache=False).logits[0, :-1].float()
        total += float(torch.nn.functional.cross_entropy(logits, row[1:], reduction="sum"))
        tokens += len(row) - 1
    return total / tokens if tokens else None


def quantizers(model: Any) -> Iterator[tuple[str, TensorQuantizer]]:
    """Every quantizer that is switched on, by its name in the model."""
    for name, module in model.named_modules():
        if isinstance(module, TensorQuantizer) and module.is_enabled:
            yield name, module


def require_finite_scales(model: Any) -> None:
    """Refuse scales that are zero, infinite or no number: the export would be silently wrong."""
    for name, quantizer in quantizers(model):
        amax = quantizer.amax
        if amax is not None and not bool((torch.isfinite(amax) & (amax > 0)).all()):
            raise Refusal(
                "regression",
                f"{name} found no usable scale (amax {float(amax.max())})",
                fix="check the checkpoint for layers of zeros, or take more calibration texts",
            )


def layer_formats(model: Any) -> dict[str, dict[str, str]]:
    """Format of weights, inputs and outputs of each quantized layer, such as {"weight": "e4m3"}."""
    formats: dict[str, dict[str, str]] = {}
    for name, quantizer in quantizers(model):
        layer, _, role = name.rpartition(".")
        formats.setdefault(layer, {})[role.removesuffix("_quantizer")] = _format_name(quantizer.num_bits)
    return formats


def _format_name(num_bits: int | tuple[int, int]) -> str:
    return f"int{num_bits}" if isinstance(num_bits, int) else f"e{num_bits[0]}m{num_bits[1]}"


def copy_side_files(checkpoint: Path, output: Path) -> None:
    """Copy what the export leaves out: tokenizer and generation config, byte for byte."""
    for pattern in SIDE_FILES:
        for file in checkpoint.glob(pattern):
            shutil.copyfile(file, output / file.name)


def exported_exclusions(output: Path) -> list[str]:
    """Modules that the export says it left as they were."""
    left_out = read_json(output / "hf_quant_config.json")["quantization"].get("exclude_modules", [])
    return sorted(left_out)


def tool_versions() -> dict[str, str]:
    """Versions of the tools that shape the result."""
    return {
        "nvidia-modelopt": modelopt.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
