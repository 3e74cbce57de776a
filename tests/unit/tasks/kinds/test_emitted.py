"""A thousand variants that are not refused: every command, YAML file and export against the tools' tables."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.standin.interface_tables import broken, broken_group, table, values
from support.standin.trtllm.llm_args_rules import clashes, load_arguments, problems

from engine_specs.spec import Draft, ResolvedVariant, Shape, Speculative
from engine_specs.spec.rules import View, parallel_violations
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import (
    DRAFTED,
    SpeculativeMethod,
    load_kinds,
    load_llm_args,
    load_model_files,
    load_targets,
)
from engine_specs.tables.kind_options import KindOption
from engine_specs.tables.llm_args import LlmArgument, LlmArguments
from tasks.kinds import kind_named
from tasks.kinds.trt_plan.kind import admission
from tasks.workers.common.json_files import yaml_lines
from tasks.workers.quantize.trtllm_config import completed
from tasks.workers.trt_plan.model_file import require_readable
from tasks.workers.vllm.launch import Asked, server_command

SEED, VARIANTS, EXPORTS = 20261128, 1000, 1000
KINDS = ("trt-plan", "trtllm-torch")
PARALLEL = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel")
DRAFT = Draft(repo="acme/draft", revision="d" * 40)
COMMANDS = {
    "trt-plan": (table("trtllm-build-1.2"), table("trtllm-serve-1.2")),
    "trtllm-torch": (table("trtllm-serve-1.4"), table("trtllm-serve-1.4")),
}
# Of the benchmark of trtllm-torch, which is given its file and these flags.
SIZES = {
    "--tp": "tensor_parallel_size",
    "--pp": "pipeline_parallel_size",
    "--ep": "moe_expert_parallel_size",
    "--max_batch_size": "max_batch_size",
    "--max_num_tokens": "max_num_tokens",
    "--max_seq_len": "max_seq_len",
}
BENCHMARKS = {"trt-plan": table("trtllm-bench-1.2"), "trtllm-torch": table("trtllm-bench-1.4")}
ARGUMENTS = {kind: load_arguments(kind) for kind in KINDS}
VLLM = table("vllm-serve-0.32")
PLACES = {"python": "p", "bin": "/bin", "port": 1, "output": "/o", "scratch": "/s", "checkpoint": "/c"}
SCALINGS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"rope_type": "default"},
    {"rope_type": "linear", "factor": 4.0},
    {"type": "dynamic", "factor": 2.0},
    {"rope_type": "yarn", "factor": 4.0},
    {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096, "mscale": 0.7},
    {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
)
FAMILIES = {
    "LlamaForCausalLM": ("llama", "llama"),
    "MistralForCausalLM": ("mistral", "llama"),
    "MixtralForCausalLM": ("mixtral", "llama"),
    "Qwen2ForCausalLM": ("qwen2", "qwen"),
    "Qwen3ForCausalLM": ("qwen3", "qwen"),
    "Gemma2ForCausalLM": ("gemma2", "gemma2"),
}


def option_value(draw: random.Random, row: KindOption) -> Any:
    """A value that a spec may give to an option."""
    if row.choices:
        return draw.choice(row.choices)
    if row.type == "bool":
        return draw.random() < 0.5
    least, most = row.minimum or 0, row.maximum or 10_000
    return draw.randint(int(least), int(most)) if row.type == "int" else draw.uniform(least, most)


def argument_value(draw: random.Random, row: LlmArgument, arguments: LlmArguments) -> Any:
    """A value that the table takes for an argument."""
    if row.type in arguments.models:
        return passed(draw, arguments, row.type)
    if row.choices:
        return draw.choice(row.choices)
    least, most = row.minimum or 0, row.maximum or 100
    least = min(least, most)
    match row.type:
        case "bool":
            return draw.random() < 0.5
        case "int":
            return draw.randint(int(least), int(most))
        case "float":
            return draw.uniform(least, most)
        case "list":
            return [draw.randint(1, 4096) for _ in range(draw.randint(1, 3))]
        case "object":
            return {"x": draw.randint(0, 9)}
    return draw.choice(("a", "b: c", "#d"))


def passed(draw: random.Random, arguments: LlmArguments, model: str) -> dict[str, Any]:
    """Some arguments that a spec may pass."""
    rows = {name: row for name, row in arguments.models[model].items() if not row.decided_by}
    names = draw.sample(sorted(rows), min(len(rows), draw.randint(1, 3)))
    return {name: argument_value(draw, rows[name], arguments) for name in names}


def some_spread(draw: random.Random, kind: str) -> dict[str, int]:
    """Parallel sizes that the kind takes together; half of them of experts, if it spreads these."""
    tensor, pipeline, copies = draw.choice((1, 2, 4, 8)), draw.choice((1, 2)), 1
    spread = {"tensor_parallel": tensor, "pipeline_parallel": pipeline}
    if load_kinds()[kind].experts is None or draw.random() < 0.5:
        return spread
    if draw.random() < 0.5:
        copies, spread = draw.choice((2, 4, 8)), {}
        tensor = 1
    groups = draw.choice([n for n in (1, 2, 4, 8) if tensor * copies % n == 0])
    return spread | {"data_parallel": copies, "expert_parallel": groups}


def some_drafting(draw: random.Random, kind: str) -> Speculative | None:
    """A way to draft tokens, in half of the variants of a kind that has any."""
    rows = load_kinds()[kind].speculative
    if not rows or draw.random() < 0.5:
        return None
    method = draw.choice(rows).method
    drafts = DRAFT if method in DRAFTED else None
    return Speculative(method=method, tokens=draw.randint(1, 8), draft=drafts)


def some_variant(draw: random.Random, kind: str) -> ResolvedVariant:
    """A variant whose target, recipe and KV cache go together; options and passed arguments are any."""
    facts = load_kinds()[kind]
    capabilities = {one for row in facts.recipes for one in row.compute_capabilities}
    target = draw.choice([row for row in load_targets().values() if row.compute_capability in capabilities])
    here = target.compute_capability
    options = {row.name: row.default for row in facts.options}
    for row in draw.sample(facts.options, draw.randint(0, 4)):
        options[row.name] = option_value(draw, row)
    speculative = some_drafting(draw, kind)
    seq, batch = draw.randint(128, 32_768), draw.randint(1, 512)
    prompt = draw.randint(1, seq - 1)
    least = batch if options["enable_chunked_prefill"] else max(prompt, batch)
    return ResolvedVariant(
        name="v",
        target=target,
        **{**some_spread(draw, kind), **({"pipeline_parallel": 1} if speculative else {})},
        speculative=speculative,
        engine=Engine(
            kind=kind,
            options=options,
            llm_args=passed(draw, load_llm_args()[kind], load_llm_args()[kind].root)
            if kind in load_llm_args() and draw.random() < 0.5
            else {},
        ),
        quantization=Quantization(
            recipe=draw.choice([row.name for row in facts.recipes if here in row.compute_capabilities]),
            kv_cache=draw.choice([row.name for row in facts.kv_caches if here in row.compute_capabilities]),
            device="cuda",
        ),
        shape=Shape(
            max_batch_size=batch,
            max_input_len=prompt,
            max_seq_len=seq,
            max_num_tokens=max(least, 128) + draw.randint(0, 8192),
        ),
    )


def refused(variant: ResolvedVariant) -> bool:
    """Whether the kind refuses options of a variant."""
    return bool(kind_named(variant.engine.kind).option_problems(variant))


def server_flags_of(served: list[str]) -> list[str]:
    """The flags of vLLM's own server, as the launcher of an engine passes them on."""
    cut = served.index("--")
    asked = Asked(Path("/t"), "127.0.0.1", 1, "m", tuple(served[cut + 1 :]))
    return server_command(Path("p"), Path("/place"), asked)[3:]


def held(variant: ResolvedVariant) -> str:
    """Hold what a kind emits for a variant against the tables; returns whether it was refused or checked."""
    kind, name = kind_named(variant.engine.kind), variant.engine.kind
    arguments = ARGUMENTS[name]
    assert list(load_llm_args()[name].refused(variant.engine.llm_args)) == []
    sizes = {"target": variant.target.name} | {key: getattr(variant, key) for key in PARALLEL}
    assert list(parallel_violations(View(sizes), load_kinds()[name])) == []
    if refused(variant):
        return "refused"
    job, serve = kind.build_job(variant), kind.serve_command(variant)
    filled = [part.format(**PLACES) for part in job.commands[0].argv]
    served = serve.command(
        python="p", bin_dir="/bin", tree="/t", scratch="/scratch", host="127.0.0.1", port=1, model="m"
    )
    for interface, argv in zip(COMMANDS[name], (filled, served), strict=True):
        assert broken(interface, list(argv[1:])) == []
    asked = kind.benchmark_command(variant, 8)
    assert asked is not None
    argv = [part.format(engine="/e", dataset="/d", **PLACES) for part in asked.argv]
    assert broken_group(BENCHMARKS[name], argv[1:]) == []
    llm_args = job.params.llm_args  # type: ignore[attr-defined]
    assert yaml.safe_load("\n".join(yaml_lines(llm_args))) == llm_args
    for flag, argument in SIZES.items():
        assert values(argv).get(flag, str(llm_args.get(argument, 1))) == str(llm_args.get(argument, 1))
    given = {"model": "/tree", **llm_args}
    assert list(problems(arguments["models"], arguments["root"], given)) == []
    assert list(clashes(given)) == []
    ranks = given["tensor_parallel_size"] * given["pipeline_parallel_size"]
    assert ranks == variant.devices
    if "--tp" in argv:  # trtllm-bench of 1.4; that of 1.2 reads the engine's own mapping
        asked_for = values(argv[1:])
        assert int(asked_for["--tp"]) * int(asked_for["--pp"]) == ranks
    return "experts" if "moe_expert_parallel_size" in given else "checked"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_emitted_for_a_thousand_variants_is_what_the_tables_take(kind: str) -> None:
    draw, counted = random.Random(SEED), Counter[str]()
    while counted["checked"] + counted["experts"] < VARIANTS // len(KINDS):
        counted[held(some_variant(draw, kind))] += 1
    assert min(counted["checked"], counted["refused"]) > VARIANTS // 20
    assert (counted["experts"] > VARIANTS // 20) == (load_kinds()[kind].experts is not None)


@pytest.mark.parametrize("kind", [one.name for one in load_kinds().values() if one.speculative])
@pytest.mark.parametrize("method", ["ngram", "mtp", "eagle3", "draft_model"])
def test_each_way_to_draft_is_spelled_as_the_tables_have_it(kind: str, method: SpeculativeMethod) -> None:
    asked = Speculative(method=method, tokens=3, draft=DRAFT if method in DRAFTED else None)
    draw = random.Random(SEED)
    plain = next(one for one in iter(lambda: some_variant(draw, kind), None) if not refused(one))
    variant = plain.model_copy(update={"speculative": asked, "pipeline_parallel": 1})
    job, serve = kind_named(kind).build_job(variant), kind_named(kind).serve_command(variant)
    served = serve.command(
        python="p", bin_dir="/bin", tree="/t", scratch="/s", host="127.0.0.1", port=1, model="m"
    )
    if kind == "vllm":
        given = values(server_flags_of(served))
        assert broken(VLLM, server_flags_of(served)) == []
        assert given["--speculative-config.method"] == method
        assert given["--speculative-config.num_speculative_tokens"] == "3"
        assert given.get("--speculative-config.model") == ("/place/draft" if asked.draft else None)
        return
    held(variant)
    config = job.params.llm_args["speculative_config"]  # type: ignore[attr-defined]
    assert config["max_draft_len"] == 3
    assert config.get("speculative_model") == ("{tree}/draft" if asked.draft else None)
    # A file that names the tree is filled in and read from the server's own directory.
    assert serve.fills == (("llm_args.yaml",) if asked.draft else ())
    assert ("/s/llm_args.yaml" in served) == (asked.draft is not None)
    benchmark = kind_named(kind).benchmark_command(variant, 8)
    assert benchmark is not None
    assert ("{scratch}/llm_args.yaml" in benchmark.argv) == (asked.draft is not None)


def some_export(draw: random.Random) -> tuple[dict[str, Any], dict[str, Any], str]:
    """config.json as ModelOpt 0.37 writes it, the checkpoint's own, and the family."""
    architecture = draw.choice(load_kinds()["trt-plan"].architecture_names)
    model_type, family = FAMILIES[architecture]
    heads = draw.choice((8, 16, 32))
    sizes = {
        "vocab_size": 1024,
        "hidden_size": 64 * heads,
        "num_hidden_layers": draw.randint(1, 80),
        "num_attention_heads": heads,
        "num_key_value_heads": draw.choice((2, heads)),
        "intermediate_size": 256 * heads,
        "max_position_embeddings": draw.choice((4096, 32_768)),
    }
    source = sizes | {
        "model_type": model_type,
        "rms_norm_eps": 1e-6,
        "rope_theta": draw.choice((10_000.0, 1_000_000.0)),
        "rope_scaling": draw.choice(SCALINGS),
        "attention_bias": draw.random() < 0.3 if family == "llama" else False,
        "query_pre_attn_scalar": 224,
        "final_logit_softcapping": 30.0,
        "attn_logit_softcapping": 50.0,
    }
    moe = {"moe": {"num_experts": 8, "top_k": 2, "normalization_mode": 1}, "hidden_act": "swiglu"}
    written = sizes | {
        "architecture": architecture,
        "dtype": "bfloat16",
        "logits_dtype": "float16",
        "hidden_act": "silu",
        "norm_epsilon": 1e-6,
        "head_size": 64,
        "position_embedding_type": "rope_gpt_neox",
        "mapping": {"world_size": 2, "tp_size": 2, "pp_size": 1},
        "quantization": {"quant_algo": draw.choice((None, "FP8")), "kv_cache_quant_algo": None},
        **({"rotary_scaling": source["rope_scaling"]} if draw.random() < 0.5 else {}),
        **(moe if model_type == "mixtral" else {}),
    }
    return written, source, family


def test_every_export_is_what_its_model_file_reads() -> None:
    draw, seen = random.Random(SEED), Counter[str]()
    for _ in range(EXPORTS):
        written, source, family = some_export(draw)
        config = completed(written, source, family, {"quant_algo": None, "kv_cache_quant_algo": None})
        require_readable(config, admission())
        seen[config["architecture"]] += 1
    assert set(seen) == {name for row in load_model_files().model_files for name in row.architectures}
