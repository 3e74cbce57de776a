"""Quantize a checkpoint with NVIDIA ModelOpt and export it in Hugging Face's or TensorRT-LLM's layout.

It runs in a toolchain with ModelOpt 0.47 or 0.37; `request` defines what it is asked.

Output: the export, the checkpoint's tokenizer and generation config, and `quantization_report.json`. In
Hugging Face's layout the export is weights, config.json and hf_quant_config.json; in TensorRT-LLM's it is
config.json, rankN.safetensors, hf_config.json (the checkpoint's own), and quant_cfg.json if layers differ.
Equal inputs give equal bytes on the same host.
"""

import os

from tasks.workers.common.io import run
from tasks.workers.common.requests import Result
from tasks.workers.quantize.checks import require_supported
from tasks.workers.quantize.request import QuantizeAdmission, QuantizeParams, QuantizeRequest
from tasks.workers.quantize.tokenizer_check import require_same_tokens


def main(request: QuantizeRequest) -> Result:
    """Check the request from metadata and the tokenizer alone, then quantize."""
    require_supported(request.inputs["checkpoint"], request.params, request.admission)
    os.environ["HF_HUB_OFFLINE"] = "1"  # a checkpoint is read only from disk, whatever its files refer to
    require_same_tokens(request.inputs["checkpoint"])
    # ModelOpt takes ten seconds to import: a refusal should not wait for it.
    from tasks.workers.quantize.export import quantize

    return quantize(request)


if __name__ == "__main__":
    run(main, QuantizeParams, QuantizeAdmission)
