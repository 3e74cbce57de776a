"""The model during quantization: loading it, running texts through it, and its loss on them."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tasks.workers.common.io import Refusal
from tasks.workers.quantize.request import QuantizeRequest

TokenRows = list[tuple[str, "torch.Tensor"]]
LEAST_TOKENS = 2


def load_model(checkpoint: Path, device: str) -> Any:
    """The model in its own number format, on the processors or spread over all visible GPUs."""
    spread = {"device_map": "auto"} if device == "cuda" else {}
    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", **spread).eval()


def read_token_rows(request: QuantizeRequest, checkpoint: Path) -> tuple[TokenRows, list[str]]:
    """Read the calibration texts, as ids and token ids (int64 [tokens]), truncated to the sequence length.

    Texts of fewer than two tokens, besides those that the tokenizer adds, are left out: nothing in them can
    be predicted. Their ids come second.
    """
    calibration = request.params.calibration
    if calibration is None:
        return [], []
    texts = request.inputs["calibration"] / "texts.jsonl"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    rows, left_out = [], []
    with texts.open(encoding="utf-8") as stream:
        for line in stream:
            text = json.loads(line)
            read = tokenizer(
                text["text"],
                truncation=True,
                max_length=calibration.sequence_length,
                return_special_tokens_mask=True,
            )
            if read.special_tokens_mask.count(0) < LEAST_TOKENS:
                left_out.append(text["id"])
            else:
                rows.append((text["id"], torch.tensor(read.input_ids)))
    if not rows:
        what = f"none of {len(left_out)} calibration texts has {LEAST_TOKENS} tokens"
        raise Refusal("input", what, str(texts), "name longer texts for calibration")
    return rows, left_out


@torch.inference_mode()
def run_through(model: Any, rows: TokenRows) -> None:
    """Run every text through the model, so that the quantizers see its activations."""
    for _, row in rows:
        model(input_ids=row[None].to(model.device), use_cache=False)


@torch.inference_mode()
def mean_loss(model: Any, rows: TokenRows) -> float | None:
    """Next-token loss on the texts, in nats per token; None if there are no texts."""
    total, tokens = 0.0, 0
    for _, row in rows:
        logits = model(input_ids=row[None].to(model.device), use_cache=False).logits[0, :-1].float().cpu()
        total += float(torch.nn.functional.cross_entropy(logits, row[1:], reduction="sum"))
        tokens += len(row) - 1
    return total / tokens if tokens else None
