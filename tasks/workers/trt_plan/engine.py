"""Reads an engine directory that trtllm-build wrote, and checks it against what was asked.

Standard library only. The tool changes settings with only a warning (it clips sizes, drops attention
kernels), so config.json is the only place that says what an engine really is. An engine that is not what was
asked for is refused: its verdict would belong to another one.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tasks.workers.common.io import Refusal
from tasks.workers.common.json_files import read_json
from tasks.workers.trt_plan.request import TrtPlanParams, WantedCheckpoint

CONFIG_KEYS = ("version", "pretrained_config", "build_config")
RANK_FILE = re.compile(r"rank(\d+)\.engine")
# How config.json spells the third, paged, is not established for every version of the line.
UNPAGED = ("continuous", "disabled")
STAND_IN_VERSION = re.compile(r".+\+stand-in")


@dataclass(frozen=True)
class Engine:
    """An engine that is what was asked for.

    Attributes:
        version: of TensorRT-LLM, as the engine records it.
        sizes: of build_config.
        rank_bytes: size of each rank's plan.
        unreported: features that were asked for and that config.json does not mention.
    """

    version: str
    sizes: dict[str, int]
    rank_bytes: list[int]
    unreported: list[str] = field(default_factory=list)


def read_engine(directory: Path, params: TrtPlanParams) -> Engine:
    """Read the engine that was just built.

    Args:
        directory: config.json and rankN.engine.
        params: of the request.

    Raises:
        Refusal: a file is missing or empty, another version wrote it, or it is not what was asked.
    """
    config = read_json(directory / "config.json")
    missing = [key for key in CONFIG_KEYS if key not in config]
    if missing:
        raise _wrong(f"the engine's config.json has no {', '.join(missing)}")
    require_version(str(config["version"]), params.tool.line, stand_in=params.stand_in)
    built = config["build_config"]
    _require_sizes(built, params.asked.sizes)
    unreported = _require_features(built.get("plugin_config", {}), params.asked.features)
    _require_model(config["pretrained_config"], params.checkpoint)
    ranks = _rank_bytes(directory, params.checkpoint.world_size)
    return Engine(
        str(config["version"]), {name: built[name] for name in params.asked.sizes}, ranks, unreported
    )


def require_version(version: str, line: str, *, stand_in: bool) -> None:
    """Refuse what another line of the tool wrote, and a stand-in's output that is not declared as such."""
    released = re.fullmatch(rf"{re.escape(line)}\.\d+(\.post\d+)?", version)
    if not released and not (stand_in and STAND_IN_VERSION.fullmatch(version)):
        raise Refusal(
            "unsupported",
            f"the tool is TensorRT-LLM {version}; engines of this kind are those of {line}",
            where="version",
            fix=f"install the toolchain of {line}: a server of {line} does not load other engines",
        )


def _require_sizes(built: Mapping[str, Any], asked: Mapping[str, int]) -> None:
    changed = [
        f"{name} {size} became {built.get(name)}" for name, size in asked.items() if built.get(name) != size
    ]
    if changed:
        raise _wrong(f"the tool changed sizes: {'; '.join(changed)}", "ask for sizes that it accepts")
    kind = str(built.get("kv_cache_type")).rsplit(".", maxsplit=1)[-1].lower()
    if kind in UNPAGED:
        raise _wrong(f"the KV cache is {kind}, not paged")


def _require_features(built: Mapping[str, Any], asked: Mapping[str, bool]) -> list[str]:
    changed = [
        f"{name} {_switch(on)} became {_switch(built[name])}"
        for name, on in asked.items()
        if name in built and bool(built[name]) != on
    ]
    if changed:
        fix = "remove the option from the spec: for this model or GPU the tool does not keep it"
        raise _wrong(f"the tool changed settings: {'; '.join(changed)}", fix)
    return sorted(set(asked) - set(built))


def _require_model(model: Mapping[str, Any], checkpoint: WantedCheckpoint) -> None:
    mapping, quantization = model.get("mapping", {}), model.get("quantization", {})
    found = {
        "tensor_parallel": mapping.get("tp_size"),
        "pipeline_parallel": mapping.get("pp_size"),
        "quant_algo": quantization.get("quant_algo"),
        "kv_cache_quant_algo": quantization.get("kv_cache_quant_algo"),
    }
    wanted = asdict(checkpoint)
    changed = [f"{name} {found[name]}, not {wanted[name]}" for name in found if found[name] != wanted[name]]
    if changed:
        raise _wrong(f"the engine is of another model: {'; '.join(changed)}")


def _rank_bytes(directory: Path, world_size: int) -> list[int]:
    names = [f"rank{rank}.engine" for rank in range(world_size)]
    present = {
        path.name: path.stat().st_size for path in directory.iterdir() if RANK_FILE.fullmatch(path.name)
    }
    lacking = [name for name in names if not present.get(name)]
    if lacking:
        raise _wrong(f"the tool reported success, but plans are missing or empty: {', '.join(lacking)}")
    if extra := sorted(set(present) - set(names)):
        raise _wrong(f"there are plans of more ranks than {world_size}: {', '.join(extra)}")
    return [present[name] for name in names]


def _switch(on: object) -> str:
    return "on" if on else "off"


def _wrong(what: str, fix: str = "read the tool's output in the log") -> Refusal:
    return Refusal("regression", what, where="config.json of the engine", fix=fix)
