"""The differences between the supported lines of ModelOpt (0.37 and 0.47), and nothing else.

- 0.47 writes a configuration as an ordered list of entries, 0.37 as a dictionary by pattern.
- 0.47 reads recipe files and searches by two methods; 0.37 does neither.
- 0.37 lacks constants for two formats that TensorRT-LLM supports; they are in `OWN`, by the names that
  recipes.yaml uses.
"""

import copy
import tempfile
from pathlib import Path
from typing import Any

import modelopt
import modelopt.torch.quantization as mtq

from tasks.workers.common.io import Refusal
from tasks.workers.quantize.request import QuantizeParams, RecipeText

OWN: dict[str, dict[str, Any]] = {
    "INT8_KV_CFG": {
        "quant_cfg": {"*[kv]_bmm_quantizer": {"num_bits": 8, "axis": None, "enable": True}},
        "algorithm": "max",
    },
}
# Formats that the reader of the export makes itself from plain weights: ModelOpt has nothing to do.
DECLARED = {"TENSORRT_LLM_W8A16": "W8A16"}


def require_line(asked: str) -> None:
    """Refuse a line of ModelOpt other than the one that was asked for."""
    if not modelopt.__version__.startswith(f"{asked}."):
        raise Refusal(
            "unsupported",
            f"this toolchain has ModelOpt {modelopt.__version__}, and the kind reads exports of {asked}",
            fix=f"name a toolchain with ModelOpt {asked} for `quantize` in the kind's file",
        )


def configuration(params: QuantizeParams) -> dict[str, Any] | None:
    """ModelOpt's configuration for what is asked; None if it has nothing to quantize."""
    name = params.recipe.preset
    weights = _from_file(params.file) if params.file else None
    if name and name not in DECLARED:
        weights = preset(name)
    cache = params.kv_cache.preset
    return combined(weights, preset(cache) if cache else None)


def preset(name: str) -> dict[str, Any]:
    """A copy of one configuration, by its constant's name; refuses a name that this line lacks."""
    found = OWN.get(name) or getattr(mtq, name, None)
    if found is None:
        raise Refusal(
            "unsupported",
            f"ModelOpt {modelopt.__version__} has no preset {name}",
            fix="choose a recipe that recipes.yaml lists for this line",
        )
    result: dict[str, Any] = copy.deepcopy(found)
    return result


def combined(weights: dict[str, Any] | None, cache: dict[str, Any] | None) -> dict[str, Any] | None:
    """One configuration from those of the weights and the KV cache; the cache's entries come last and win."""
    if cache is None:
        return weights
    whole = weights or {"quant_cfg": _nothing(), "algorithm": "max"}
    entries = whole["quant_cfg"]
    added = cache_entries(cache)
    whole["quant_cfg"] = entries + added if isinstance(entries, list) else entries | added
    return whole


def cache_entries(cache: dict[str, Any]) -> Any:
    """The entries of a KV cache's configuration, without those that switch everything else off."""
    entries = cache["quant_cfg"]
    if isinstance(entries, list):
        return entries
    return {pattern: entry for pattern, entry in entries.items() if pattern != "default"}


def only(entries: Any) -> Any:
    """Entries that switch off everything except what `entries` name."""
    nothing = [{"quantizer_name": "*", "enable": False}] if _is_listed() else {"*": {"enable": False}}
    return nothing + entries if isinstance(nothing, list) else nothing | entries


def search_method(method: str) -> dict[str, Any]:
    """The argument that names AutoQuantize's method; refuses one that this line does not support."""
    if _is_listed():
        return {"method": method}
    if method != "gradient":
        fix = "set search.method to gradient, or build with a kind that quantizes with 0.47"
        raise Refusal("unsupported", f"ModelOpt {modelopt.__version__} searches only by gradient", fix=fix)
    return {}


def _from_file(file: RecipeText) -> dict[str, Any]:
    if not _is_listed():
        fix = "choose a recipe by name, or build with a kind that quantizes with 0.47"
        what = f"ModelOpt {modelopt.__version__} does not read recipe files"
        raise Refusal("unsupported", what, file.path, fix)
    from modelopt.recipe import load_recipe  # of 0.47 only

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(file.text, encoding="utf-8")
        try:
            recipe = load_recipe(path)
        except (ValueError, KeyError, OSError) as error:
            what = f"ModelOpt cannot read this recipe: {error}"
            raise Refusal("input", what, file.path, "compare it with the recipes of ModelOpt") from error
    if not hasattr(recipe, "quantize"):
        fix = "use recipe auto with `quantization.search`"
        raise Refusal("unsupported", "this recipe searches; it does not quantize", file.path, fix)
    result: dict[str, Any] = recipe.quantize.model_dump(exclude_unset=True)
    return result


def _nothing() -> Any:
    return [{"quantizer_name": "*", "enable": False}] if _is_listed() else {"default": {"enable": False}}


def _is_listed() -> bool:
    return isinstance(mtq.FP8_DEFAULT_CFG["quant_cfg"], list)
