"""What the kind emits, over the space of specs, held against the tables of the tool's interfaces."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.standin.trtllm.llm_args_rules import clashes, load_arguments, load_table, problems

from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import OptionValue, load_kinds, load_kv_caches, load_recipes, load_targets
from engine_specs.tables.kind_options import KindOption
from tasks.kinds import kind_named
from tasks.kinds.llm_args import whole_args
from tasks.kinds.trtllm_torch.args import decided_args
from tasks.workers.common.json_files import yaml_lines
from tasks.workers.trtllm_torch.request import TrtllmTorchAdmission

KIND = "trtllm-torch"
FACTS = load_kinds()[KIND]
CAPABILITIES = {capability for row in FACTS.recipes for capability in row.compute_capabilities}
TARGETS = [row for row in load_targets().values() if row.compute_capability in CAPABILITIES]
ARGS, CLI = load_arguments(KIND), load_table("trtllm-serve-1.4")
FORMATS = load_table("llm-args-1.4")


def llm_args(variant: ResolvedVariant) -> dict[str, Any]:
    """What the kind writes into the file of a variant."""
    return whole_args(variant, decided_args(variant))


def accepted(option: KindOption) -> st.SearchStrategy[OptionValue]:
    """Values that a spec may give."""
    if option.choices:
        return st.sampled_from(option.choices)
    if option.type == "bool":
        return st.booleans()
    if option.type == "int":
        return st.integers(int(option.minimum or 0), int(option.maximum or 10))
    return st.floats(option.minimum, option.maximum)


@st.composite
def variants(draw: st.DrawFn) -> ResolvedVariant:
    """Any variant of this kind that its table of facts takes."""
    target = draw(st.sampled_from(TARGETS))
    capability = target.compute_capability
    recipes = [row.name for row in FACTS.recipes if capability in row.compute_capabilities]
    caches = [row.name for row in FACTS.kv_caches if capability in row.compute_capabilities]
    batch, prompt = draw(st.integers(1, 4096)), draw(st.integers(1, 131_072))
    shape = Shape(
        max_batch_size=batch,
        max_input_len=prompt,
        max_seq_len=prompt + draw(st.integers(1, 8192)),
        max_num_tokens=max(batch, prompt) + draw(st.integers(0, 8192)),
    )
    return ResolvedVariant(
        name="v",
        target=target,
        tensor_parallel=draw(st.sampled_from([1, 2, 4, 8])),
        pipeline_parallel=draw(st.sampled_from([1, 2])),
        engine=Engine(kind=KIND, options={row.name: draw(accepted(row)) for row in FACTS.options}),
        quantization=Quantization(
            recipe=draw(st.sampled_from(recipes)), kv_cache=draw(st.sampled_from(caches)), device="cuda"
        ),
        shape=shape,
    )


def plain(**options: OptionValue) -> ResolvedVariant:
    """One variant with the options' defaults, but for those given."""
    defaults = {row.name: row.default for row in FACTS.options}
    return ResolvedVariant(
        name="v",
        target=load_targets()["b200"],
        engine=Engine(kind=KIND, options=defaults | options),
        quantization=Quantization(recipe="nvfp4", kv_cache="fp8", device="cuda"),
        shape=Shape(max_batch_size=64, max_input_len=1024, max_seq_len=2048, max_num_tokens=8192),
    )


@given(variants())
def test_the_arguments_are_those_that_the_tool_takes(variant: ResolvedVariant) -> None:
    emitted = {"model": "/tree", **llm_args(variant)}
    assert list(problems(ARGS["models"], "TorchLlmArgs", emitted)) == []
    assert list(clashes(emitted)) == []


@given(variants())
def test_the_written_yaml_reads_back_as_the_arguments(variant: ResolvedVariant) -> None:
    arguments = llm_args(variant)
    text = "\n".join(yaml_lines(arguments))
    assert yaml.safe_load(text) == arguments
    names = [line.split(":")[0] for line in text.splitlines() if not line.startswith(" ")]
    assert names == sorted(arguments)


@given(variants())
def test_every_command_is_one_that_the_tool_takes(variant: ResolvedVariant) -> None:
    job = kind_named(KIND).build_job(variant)
    serve = kind_named(KIND).serve_command(variant)
    own = {"output": "/o", "scratch": "/s", "checkpoint": "/c"}
    warm_up = [part.format(python="p", bin="/bin", port=1, **own) for part in job.commands[0].argv]
    command = serve.command(
        python="p", bin_dir="/bin", tree="/t", scratch="/scratch", host="127.0.0.1", port=1, model="demo"
    )
    for argv in (warm_up, command):
        assert argv[0] == "/bin/trtllm-serve"
        assert refusal(argv[1:]) == ""
    assert serve.ready_path in CLI["paths"]


def refusal(argv: list[str]) -> str:
    """What the table of flags has against an argument list; empty where nothing."""
    rows = {name: row for flag, row in CLI["flags"].items() for name in (flag, *row.get("aliases", []))}
    types = {"int": int, "float": float, "str": str}
    positional, rest = [], list(argv)
    while rest:
        part = rest.pop(0)
        if not part.startswith("--"):
            positional.append(part)
        elif part not in rows:
            return f"No such option: {part}"
        elif (kind := rows[part]["type"]) != "flag":
            value = types[kind](rest.pop(0))
            if value not in rows[part].get("choices", [value]):
                return f"Invalid value for {part}: {value}"
    return "" if len(positional) == len(CLI["positional"]) else f"arguments {positional}"


@given(variants())
def test_a_checkpoint_is_asked_for_in_formats_that_the_tool_names(variant: ResolvedVariant) -> None:
    asked = kind_named(KIND).build_job(variant).admission
    known = {*FORMATS["quant_algos"]["names"], *FORMATS["aliases"]["names"], None}
    assert isinstance(asked, TrtllmTorchAdmission)
    assert {*asked.quant_algos, *asked.layer_quant_algos} <= known
    assert "MIXED_PRECISION" not in asked.layer_quant_algos
    assert {*asked.kv_cache_quant_algos} <= {*FORMATS["kv_cache_quant_algos"]["names"], None}
    assert asked.quant_algos


@pytest.mark.parametrize("option", FACTS.options, ids=lambda row: row.name)
def test_every_option_reaches_the_arguments(option: KindOption) -> None:
    other = next(value for value in others(option) if value != option.default)
    assert llm_args(plain(**{option.name: other})) != llm_args(plain())


def others(option: KindOption) -> list[OptionValue]:
    if option.choices:
        return list(option.choices)
    return {"bool": [True, False], "int": [1, 2], "float": [0.5, 0.6]}[option.type]


@pytest.mark.parametrize("option", FACTS.options, ids=lambda row: row.name)
def test_the_choices_of_an_option_are_the_tools(option: KindOption) -> None:
    rows = {
        name: row
        for model in ARGS["models"].values()
        for name, row in model.items()
        if not row.get("decided_by")
    }
    rows["moe_backend"] = ARGS["models"]["MoeConfig"]["backend"]
    row: dict[str, Any] = rows.get(option.name, {})
    assert set(option.choices) <= set(row.get("choices", option.choices))
    assert (option.default == row["default"]) if row else option.type == "bool"


def test_every_row_of_the_tables_names_its_source() -> None:
    rows = [*CLI["flags"].values(), *CLI["paths"].values()]
    rows += [FORMATS[name] for name in ("aliases", "quant_algos", "kv_cache_quant_algos", "autotuner_cache")]
    assert all("TensorRT-LLM" in row["source"] or "as above" in row["source"] for row in rows)
    assert all("TensorRT-LLM" in text or "as `args`" in text for text in ARGS["sources"].values())


def test_every_recipe_and_cache_format_of_the_kind_has_a_name_in_the_arguments() -> None:
    for row in FACTS.kv_caches:
        assert row.name in load_kv_caches()
        quantization = plain().quantization.model_copy(update={"kv_cache": row.name})
        variant = plain().model_copy(update={"quantization": quantization})
        assert llm_args(variant)["kv_cache_config"]["dtype"] in ("auto", "fp8", "nvfp4")
    presets = {row.name: load_recipes()[row.name].preset(FACTS.modelopt) for row in FACTS.recipes}
    assert all(presets[name] for name in presets if load_recipes()[name].form == "preset")


@pytest.mark.parametrize(
    ("given_args", "said"),
    [
        ({"max_batchsize": 4}, "Extra inputs are not permitted"),
        ({"kv_cache_config": {"dtype": "int8"}}, "should be one of"),
        ({"tensor_parallel_size": True}, "valid int"),
        ({"stream_interval": 0}, "greater than or equal to 1"),
        ({"moe_config": None}, "should not be null"),
        ({"kv_cache_config": {"free_gpu_memory_fraction": 1.5}}, "less than or equal to 1"),
        ({"moe_config": "CUTLASS"}, "should be a mapping"),
    ],
)
def test_the_table_refuses_what_the_tool_would(given_args: dict[str, Any], said: str) -> None:
    (problem,) = problems(ARGS["models"], "TorchLlmArgs", {"model": "/tree", **given_args})
    assert said in problem
    assert next(iter(problems(ARGS["models"], "TorchLlmArgs", {}))) == "TorchLlmArgs.model: Field required"


@pytest.mark.parametrize(
    ("sizes", "whole"),
    [
        ({"moe_expert_parallel_size": 8}, True),
        ({"moe_tensor_parallel_size": 4, "moe_expert_parallel_size": 2}, True),
        ({}, True),
        ({"moe_expert_parallel_size": 3}, False),
        ({"moe_tensor_parallel_size": 8, "moe_expert_parallel_size": 8}, False),
    ],
)
def test_the_stand_in_refuses_sizes_of_experts_as_the_tool_does(sizes: dict[str, int], whole: bool) -> None:
    assert (list(clashes({"tensor_parallel_size": 8, **sizes})) == []) == whole
