"""Quantize a checkpoint with NVIDIA ModelOpt and export it in Hugging Face's or TensorRT-LLM's layout.

Runs in a toolchain with ModelOpt 0.47 or 0.37. Inputs: `checkpoint`, and where texts are needed
`calibration` (a directory with texts.jsonl, every line of which is used). Params:
- `device`: cpu or cuda.
- `recipe`: name, preset (null: nothing to quantize by a constant).
- `kv_cache`: name, preset, quant_algo.
- `file`: null, or a recipe file: path (for messages), sha256, text.
- `search`: null, or effective_bits, method, score_samples, candidates[as `recipe`].
- `export`: format (hf or tensorrt-llm), tensor_parallel, pipeline_parallel, decoder_type (ModelOpt's name of
  the checkpoint's family, for tensorrt-llm).
- `calibration`: null, or sequence_length: the number of tokens of each text that are used.

Admission, which only decides whether it is done:
- `modelopt`, `transformers_major`: the lines that the engine kind reads exports of and checkpoints with.
- `architectures`: what the kind compiles.
- `formats`: of the recipe, each candidate of a search and the KV cache: name, devices that it works on,
  needs_calibration, weight_input_multiple.

Output: the export, the checkpoint's tokenizer and generation config, and `quantization_report.json`. In
Hugging Face's layout the export is weights, config.json and hf_quant_config.json; in TensorRT-LLM's
config.json, rankN.safetensors, hf_config.json (the checkpoint's own), and quant_cfg.json where layers
differ. Equal inputs give equal bytes on the same host.
"""

import os

from quantize_checks import require_supported  # type: ignore[import-not-found]  # a file beside this one
from worker_io import Request, Result, run  # type: ignore[import-not-found]  # a file beside this one


def main(request: Request) -> Result:
    """Check from metadata alone, then quantize."""
    require_supported(request.inputs["checkpoint"], request.params, request.admission)
    os.environ["HF_HUB_OFFLINE"] = "1"  # a checkpoint is read from disk, whatever its files refer to
    # ModelOpt takes ten seconds to import: a refusal should not wait for it.
    from quantize_export import quantize  # type: ignore[import-not-found]  # a file beside this one

    return quantize(request)


if __name__ == "__main__":
    run(main)
