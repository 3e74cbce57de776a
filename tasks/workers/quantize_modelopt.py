"""Quantize a checkpoint with NVIDIA ModelOpt and export it in Hugging Face's format.

Runs in the toolchain modelopt-cpu. Inputs: `checkpoint`, and where texts are needed `calibration` (a
directory with texts.jsonl, every line of which is used). Params: see `quantize_checks.require_supported`;
`calibration.sequence_length` is the number of tokens of each text that are used.

Output: the export (weights, config.json, hf_quant_config.json), the checkpoint's tokenizer and generation
config, and `quantization_report.json`. Equal inputs give equal bytes on the same host.
"""

from quantize_checks import require_supported  # type: ignore[import-not-found]  # a file beside this one
from worker_io import Request, Result, run  # type: ignore[import-not-found]  # a file beside this one


def main(request: Request) -> Result:
    """Check from metadata alone, then quantize."""
    require_supported(request.inputs["checkpoint"], request.params)
    # ModelOpt takes ten seconds to import: a refusal should not wait for it.
    from quantize_export import quantize  # type: ignore[import-not-found]  # a file beside this one

    return quantize(request)


if __name__ == "__main__":
    run(main)
