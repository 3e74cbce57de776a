"""What TensorRT-LLM's LLM class refuses of its arguments, read from the table of its interface.

`problems` is the closed schema: names, types, choices, bounds. `clashes` are the rules between arguments that
its own validators have (tensorrt_llm/llmapi/llm_args.py).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

INTERFACES = Path(__file__).parents[3] / "data" / "interfaces"
ARGUMENTS = Path(__file__).parents[4] / "engine_specs" / "data" / "llm_args"
SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "object": (dict,),
    "list": (list,),
}


def load_table(name: str) -> dict[str, Any]:
    """A table of an interface by the name of its file."""
    table: dict[str, Any] = yaml.load(
        (INTERFACES / f"{name}.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
    )
    return table


def load_arguments(kind: str) -> dict[str, Any]:
    """The closed schema of the arguments of a kind's tool: the data that specs are held against, too."""
    table: dict[str, Any] = yaml.load(
        (ARGUMENTS / f"{kind}.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
    )
    return table


def problems(models: Mapping[str, Any], model: str, given: Mapping[str, Any]) -> Iterator[str]:
    """Everything that the closed schema of a model refuses, each with its path."""
    fields = models[model]
    for name, value in given.items():
        if name not in fields:
            yield f"{model}.{name}: Extra inputs are not permitted"
        else:
            yield from _of_value(models, f"{model}.{name}", fields[name], value)
    for name, row in fields.items():
        if row["default"] == "required" and name not in given:
            yield f"{model}.{name}: Field required"


def _of_value(models: Mapping[str, Any], where: str, row: Mapping[str, Any], value: object) -> Iterator[str]:
    if value is None:
        if not row.get("optional"):
            yield f"{where}: Input should not be null"
    elif row["type"] in models:
        if isinstance(value, Mapping):
            yield from problems(models, row["type"], value)
        else:
            yield f"{where}: Input should be a mapping"
    elif not isinstance(value, SCALARS[row["type"]]) or (isinstance(value, bool) and row["type"] != "bool"):
        yield f"{where}: Input should be a valid {row['type']}, not {value!r}"
    elif "choices" in row and value not in row["choices"]:
        yield f"{where}: Input should be one of {row['choices']}, not {value!r}"
    else:
        yield from _of_bounds(where, row, value)


def _of_bounds(where: str, row: Mapping[str, Any], value: Any) -> Iterator[str]:
    if "minimum" in row and value < row["minimum"]:
        yield f"{where}: Input should be greater than or equal to {row['minimum']}"
    if "maximum" in row and value > row["maximum"]:
        yield f"{where}: Input should be less than or equal to {row['maximum']}"


def clashes(given: Mapping[str, Any]) -> Iterator[str]:
    """Rules between arguments that are right one by one."""
    graphs, cache = given.get("cuda_graph_config"), given.get("kv_cache_config") or {}
    if graphs and graphs.get("batch_sizes") and graphs.get("max_batch_size") != max(graphs["batch_sizes"]):
        yield "CudaGraphConfig.max_batch_size is incompatible with CudaGraphConfig.batch_sizes"
    yield from _of_experts(given)
    block = cache.get("tokens_per_block", 32)
    if block < 2 or block & (block - 1):
        yield f"tokens_per_block must be a power of two greater than 1, not {block}"
    yield from _drafting(given.get("speculative_config"), given)
    if given.get("max_batch_size", 0) > given.get("max_num_tokens", 0):
        yield "max_batch_size should be less than or equal to max_num_tokens"


def _of_experts(given: Mapping[str, Any]) -> Iterator[str]:
    """What Mapping asserts (tensorrt_llm/mapping.py): one missing size follows from the other."""
    devices, tensor = given.get("tensor_parallel_size", 1), given.get("moe_tensor_parallel_size")
    groups = given.get("moe_expert_parallel_size")
    tensor = tensor or devices // (groups or 1)
    groups = groups or devices // tensor
    if tensor * groups != devices:
        yield (
            "tp_size must equal to moe_tp_size * moe_ep_size * moe_cluster_size, "
            f"but got {devices} != {tensor} * {groups} * 1"
        )


def _drafting(config: Mapping[str, Any] | None, given: Mapping[str, Any]) -> Iterator[str]:
    """Rules of the models that inherit from DecodingBaseConfig, and of the executor."""
    if config is None:
        return
    kind = config["decoding_type"]
    if config.get("max_draft_len") is None:
        yield f"max_draft_len must be > 0 for {kind}"
    if (kind in ("Eagle3", "Draft_Target")) != ("speculative_model" in config):
        yield f"speculative_model must be specified for Eagle3 and Draft_Target, and for no {kind}"
    if "is_public_pool" in config and kind != "NGram":
        yield f"{kind}: is_public_pool: Extra inputs are not permitted"
    if given.get("pipeline_parallel_size", 1) > 1:
        yield "Drafting is not supported for selected executor loop"
    if kind == "NGram" and not given.get("disable_overlap_scheduler"):
        yield "Disable overlap scheduler for speculation mode NGRAM"
