"""Many quantizations in one process of a toolchain: its imports cost more than all of them.

Usage: PYTHON quantize_matrix.py TOKENIZER CASES.json RESULTS.json, with the worker's sources and tests/ on
PYTHONPATH. A case has a name, an architecture, the worker's params and a directory for its output. Results
by name: the refusal, or the answer's metrics, the tensors and what `dequantize` finds of them. A model is
made new for each architecture, and loaded new by the worker for each case.
"""

import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from support.checkpoints.quantization.dequantize import error_over_bound, hf_pairs, read
from support.checkpoints.quantization.dequantize_trtllm import keeps_embedding_and_head, trtllm_pairs
from support.checkpoints.quantization.random_models import save_model


def main(tokenizer: Path, cases: Path, results: Path) -> None:
    """Run every case; what a case raises is part of its result."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = {case["name"]: _run(case, scratch, tokenizer) for case in json.loads(cases.read_text())}
    found["theta of the demo"] = {"read": _theta_read(tokenizer)}
    results.write_text(json.dumps(found))


def _theta_read(checkpoint: Path) -> float:
    config = AutoConfig.from_pretrained(checkpoint)
    return float(getattr(config, "rope_theta", None) or config.rope_parameters["rope_theta"])


def _run(case: dict[str, Any], scratch: Path, tokenizer: Path) -> dict[str, Any]:
    from tasks.workers.common.io import Refusal
    from tasks.workers.common.records import read_record
    from tasks.workers.common.requests import Request
    from tasks.workers.quantize.checks import require_supported
    from tasks.workers.quantize.export import quantize
    from tasks.workers.quantize.request import QuantizeAdmission, QuantizeParams

    checkpoint = Path(case["checkpoint"] or scratch / case["architecture"])
    if not checkpoint.exists():
        save_model(case["architecture"], checkpoint, tokenizer)
    output = Path(case["output"])
    output.mkdir(parents=True)
    inputs = {"checkpoint": checkpoint, "calibration": output.parent}
    try:
        params = read_record(QuantizeParams, case["params"])
        admission = read_record(QuantizeAdmission, case["admission"])
        require_supported(checkpoint, params, admission)
        result = quantize(Request(params, admission, inputs, output))
    except Refusal as refusal:
        return {"refused": refusal.what, "fix": refusal.fix}
    except Exception as error:  # noqa: BLE001  one case must not take the others along; its test fails
        traceback.print_exc()
        return {"failed": repr(error)}
    return {"metrics": result.metrics, **_judged(case, output, checkpoint)}


def _judged(case: dict[str, Any], output: Path, checkpoint: Path) -> dict[str, Any]:
    source = read(checkpoint)
    gemma = case["architecture"].startswith("Gemma")
    if case["params"]["export"]["format"] == "hf":
        export = read(output)
        pairs = hf_pairs(export, source, gemma)
        tensors = export
        kept = torch.equal(export["model.embed_tokens.weight"], source["model.embed_tokens.weight"])
    else:
        config = json.loads((output / "config.json").read_text())
        ranks = [load_file(output / f"rank{n}.safetensors") for n in range(config["mapping"]["world_size"])]
        pairs = trtllm_pairs(ranks, source, config)
        kept = keeps_embedding_and_head(ranks, source, config)
        tensors = {f"rank{n}:{name}": tensor for n, rank in enumerate(ranks) for name, tensor in rank.items()}
    found = {name: error_over_bound(linear, original) for name, linear, original in pairs}
    shapes = {
        name: [str(tensor.dtype).removeprefix("torch."), *tensor.shape] for name, tensor in tensors.items()
    }
    return {"errors": found, "tensors": shapes, "kept": kept}


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
