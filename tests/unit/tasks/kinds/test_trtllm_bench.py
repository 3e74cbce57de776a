"""The commands of trtllm-bench, held against upstream's options at both lines of the tool."""

from pathlib import Path

import pytest
from support.specs import trt_plan
from support.standin.interface_tables import broken_group, table, values

from engine_specs.spec import ResolvedVariant, load_spec, resolve_variants
from tasks.kinds import KINDS, ToolCommand, kind_named

CONCURRENCY = 8
PLAN = table("trtllm-bench-1.2")
PLACES = {"bin": "/bin", "engine": "/engine", "checkpoint": "/checkpoint", "dataset": "/dataset"}


def asked(variant: ResolvedVariant) -> ToolCommand:
    command = kind_named(variant.engine.kind).benchmark_command(variant, CONCURRENCY)
    assert command is not None
    return command.filled(PLACES | {"output": "/output", "scratch": "/scratch"})


def test_a_plan_is_asked_with_its_own_arguments_and_the_checkpoint() -> None:
    argv = list(asked(trt_plan.variant(tensor_parallel=2)).argv[1:])
    assert broken_group(PLAN, argv) == []
    given = values(argv)
    assert (given["--engine_dir"], given["--backend"]) == ("/engine", "tensorrt")
    assert given["--extra_llm_api_options"] == "/engine/llm_args.yaml"
    assert given["--model_path"] == "/checkpoint"
    assert "--max_seq_len" not in given, "upstream asserts that there is none"


def test_it_is_asked_at_the_operating_point_to_the_full_length_and_timed_token_by_token() -> None:
    given = values(list(asked(trt_plan.variant()).argv[1:]))
    assert (given["--concurrency"], given["--warmup"]) == (str(CONCURRENCY), str(CONCURRENCY))
    assert (given["--eos_id"], given["--streaming"]) == ("-1", "")
    assert (given["--dataset"], given["--report_json"]) == ("/dataset/requests.jsonl", "/output/report.json")


def test_the_name_of_the_model_is_no_path() -> None:
    """BenchmarkEnvironment.verify_model_name refuses one that exists where the tool runs."""
    name = values(list(asked(trt_plan.variant()).argv[1:]))["--model"]
    assert not Path(name).is_absolute()
    assert not name.startswith((".", "{"))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"trt-plan", "trtllm-torch"}))
def test_other_tools_have_none(kind: str) -> None:
    (variant, *_) = resolve_variants(load_spec("demo"))
    assert kind_named(kind).benchmark_command(variant, CONCURRENCY) is None


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("--streaming", "--stream"), "unknown: --stream"),
        (("throughput", "through"), "no subcommand of ['latency', 'throughput']"),
        (("tensorrt", "trt"), "--backend: 'trt' is none of ['pytorch', '_autodeploy', 'tensorrt']"),
        (("--model", "--model_path"), "missing: --model"),
        (("-1", "--last"), "no value: --eos_id"),
        (("--extra_llm_api_options", "--config"), "unknown: --config"),
    ],
)
def test_the_table_refuses_what_the_program_would(change: tuple[str, str], what: str) -> None:
    argv = [change[1] if part == change[0] else part for part in asked(trt_plan.variant()).argv[1:]]
    assert what in broken_group(PLAN, argv)
