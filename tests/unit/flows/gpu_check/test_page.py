"""The page of a check: every figure that there is, and a word where one is missing."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from support.gpu_check import FIGURES
from support.judging.judgements import PRICES, SUBJECT, measured, protocol, terms

from engine_specs.tables import load_targets
from flows.gpu_check.figures import build_starts, limits_of, measured_of, weight_bytes
from flows.gpu_check.page import page, page_name
from flows.gpu_check.result import (
    CheckpointSummary,
    CheckResult,
    HostSummary,
    Limits,
    MemoryFigures,
    PointFigures,
    Pulled,
    SelfComparison,
    StartFigures,
    ToolchainSummary,
    VariantResult,
)
from flows.gpu_check.steps import StepRecord
from tasks.judging import Interval, NotMeasured
from tasks.judging.judge import judge_engine
from tasks.judging.report.report import render_report

H100 = HostSummary(
    gpus="1 x NVIDIA H100 80GB HBM3 (compute capability 9.0), driver 580.159.04",
    cuda="13.0",
    processor="a test's imagination",
    cores=16,
    memory_gib=128,
    target="h100-sxm",
)


def report(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """The JSON of the report of an engine that is 1.4 times as fast."""
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    made = measured(asked.digest, [0.0] * 400, ratio=1.4).model_copy(update=changes)
    result = judge_engine(made, asked, terms(PRICES, compile_mode="always"), SUBJECT)
    render_report(result, tmp_path)
    document: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    return document


def interval(estimate: float, half: float = 0.05) -> Interval:
    return Interval(estimate=estimate, lower=estimate - half, upper=estimate + half, confidence=0.95)


def point(ratio: Interval, concurrency: int = 1) -> PointFigures:
    return PointFigures(
        concurrency=concurrency,
        metric="goodput_per_device",
        ratio=ratio,
        pairs=10,
        engine_itl_ms=1.2,
        reference_itl_ms=1.58,
        engine_ttft_ms=9.1,
        reference_ttft_ms=11.4,
    )


def result(**changes: Any) -> CheckResult:
    given: dict[str, Any] = {
        "day": dt.date(2026, 11, 28),
        "rehearsal": False,
        "command": "python -m flows.gpu_check --size 1B",
        "host": H100,
        "checkpoint": CheckpointSummary(
            asked="1B", weight_bytes=1_950_000_000, commit="c" * 40, figures=FIGURES, reused=False
        ),
        "steps": (
            StepRecord(name="train 1B", state="done", duration_s=133.1),
            StepRecord(
                name="build vllm/fp8", state="failed", duration_s=60.0, detail="memory ran out\n  fix: x"
            ),
        ),
    }
    return CheckResult(**(given | changes))


def variant(**changes: Any) -> VariantResult:
    given: dict[str, Any] = {
        "name": "aot-inductor/none",
        "verdict": "compile",
        "row": "faster",
        "reasons": ("Goodput is 1.4 times the reference's.",),
        "speedup": interval(1.4),
        "stages": {"build checked": 61.0},
    }
    return VariantResult(**(given | changes))


def test_the_figures_of_a_report_are_those_of_its_rounds(tmp_path: Path) -> None:
    document = report(tmp_path)
    found = measured_of(document)
    assert found is not None
    assert found.reference == "vllm"
    for one, ratio in zip(found.points, document["ratios"], strict=True):
        assert (one.concurrency, one.pairs, one.ratio.lower) == (
            ratio["concurrency"],
            ratio["pairs"],
            ratio["lower"],
        )
        assert one.engine_ttft_ms < one.reference_ttft_ms, "the engine was planted to be faster"
    assert found.serve == ("{python}", "{tree}/serve.py")


def test_a_report_without_rounds_has_no_points(tmp_path: Path) -> None:
    found = measured_of(report(tmp_path, speed=NotMeasured(reason="it is rejected")))
    assert found is not None
    assert (found.points, found.reference) == ((), None)


def test_a_report_of_a_baseline_has_no_engine() -> None:
    assert measured_of({"load": {}, "verdict": {}}) is None


def test_starts_of_a_build_are_those_of_its_proof_of_warmth() -> None:
    starts = {"cold": [{"ready_s": 200.5, "ranks_loaded": 0}], "warm": [], "copy": [{"ready_s": 46.1}]}
    assert build_starts({"warmth": {"starts": starts}}) == {"cold": (200.5,), "copy": (46.1,)}
    assert build_starts({"checkpoint_bytes": 1}) == {}


def test_the_limit_is_the_weights_by_the_bandwidth_of_all_devices() -> None:
    found = limits_of(load_targets()["h200"], 2_400_000_000, 4_800_000_000, 2)
    assert found is not None
    assert (found.engine_ms, found.reference_ms) == pytest.approx((0.25, 0.5))
    assert limits_of(load_targets()["cpu-x86-64-v3"], 1, 1, 1) is None
    assert (
        weight_bytes(
            [("a/model-1.safetensors", 5), ("model.safetensors.index.json", 7), ("b.safetensors", 2)]
        )
        == 7
    )


def test_the_page_is_named_by_day_and_gpu() -> None:
    assert page_name(result()) == "2026-11-28-gpu-check-h100-80gb-hbm3"
    assert page_name(result(rehearsal=True)) == "2026-11-28-gpu-check-cpu-rehearsal"
    assert "says nothing about any GPU" in page(result(rehearsal=True))
    assert "says nothing about any GPU" not in page(result())


def test_the_page_holds_host_versions_command_and_steps() -> None:
    toolchain = ToolchainSummary(
        name="vllm-cuda",
        provider="host",
        identity="a" * 64,
        versions={"vllm": "0.26.0"},
        differences=tuple(f"package-{index} 1 (lock: 2)" for index in range(20)),
    )
    text = page(result(toolchains=(toolchain,)))
    for said in (
        "# GPU check, 2026-11-28",
        "1 x NVIDIA H100 80GB HBM3 (compute capability 9.0), driver 580.159.04; a test's imagination, 16 ",
        "| versions | vllm 0.26.0 |",
        "975.2 M parameters (asked for: 1B), 1.95 GB of weights",
        "2.512 nats per token on the validation split, where token frequencies alone reach 5.645",
        "`python -m flows.gpu_check --size 1B`",
        "- vllm-cuda (host): vllm 0.26.0; identity aaaaaaaaaaaa",
        "package-11 1 (lock: 2), and 8 more",
        "| train 1B | done | 133.1 |  |",
        "| build vllm/fp8 | failed | 60.0 | memory ran out fix: x |",
    ):
        assert said in text


def test_the_page_holds_verdicts_with_intervals_next_to_limits() -> None:
    measured_here = {
        "reference": "vllm",
        "placement": "shared: one GPU is free",
        "points": (point(interval(1.31)), point(interval(1.02), 8)),
        "starts": (StartFigures(side="vllm", ready_s=193.2), StartFigures(side="engine", ready_s=4.5)),
        "memory": (MemoryFigures(side="engine", estimated_bytes=9 * 10**9, peak_bytes=8 * 10**9),),
        "idle": ("next to idle sides, engine is 0.999 times as fast as alone",),
        "serve": ("{python}", "serve"),
    }
    text = page(
        result(
            variants=(
                variant(
                    measured=measured_here,
                    limits=Limits(bandwidth_bytes_per_s=3_350_000_000_000, engine_ms=0.6, reference_ms=0.58),
                    build_starts={"cold": (193.2, 201.0), "copy": (46.1,)},
                    warmth="a cold start takes 4 times as long",
                    pulled=Pulled(release="gpu-check-aot@0.1.0", ready_s=3.9, text="x = 1", tokens=48),
                ),
            )
        )
    )
    for said in (
        "| aot-inductor/none | compile | faster | 1.400 [1.350, 1.450] | shared: one GPU is free | gpu-",
        "| aot-inductor/none | 1 | 1.310 [1.260, 1.360] | 10 | 1.20 ms, 2.00 x 0.60 | 1.58 ms, 2.72 x 0.58 |",
        "| aot-inductor/none | 8 | 1.020 [0.970, 1.070] | 10 | 1.20 ms | 1.58 ms |",
        "at 3.35 TB/s per device",
        "| aot-inductor/none | vllm 193.2, engine 4.5 | cold 193.2, 201.0; copy 46.1 | 3.9 |",
        "- warm caches: a cold start takes 4 times as long",
        "| aot-inductor/none | engine | 9.00 GB | 8.00 GB |",
        "- next to idle sides, engine is 0.999 times as fast as alone",
        "it generated 48 tokens: 'x = 1'",
        "stages, s: build checked 61.0",
    ):
        assert said in text


def test_what_was_not_measured_is_unavailable_and_never_a_number() -> None:
    text = page(result(checkpoint=None, variants=(variant(estimated_bytes=9 * 10**9),)))
    assert "| checkpoint | none was trained |" in text
    assert "| aot-inductor/none | unavailable | - | - |" in text, "starts"
    assert "| aot-inductor/none | engine | 9.00 GB | unavailable |" in text
    assert "nothing was pulled" in text
    assert "It was not compared with itself." in text
    assert page(result()).count("Nothing was measured.") == 4, "verdicts, rounds, starts, memory"


def test_a_variant_that_was_not_run_says_why() -> None:
    text = page(
        result(variants=(VariantResult(name="trt-plan/none", obstacles=("toolchain x is missing",)),))
    )
    assert "| trt-plan/none | not run | - | - | - | - |" in text
    assert "- not run: toolchain x is missing" in text


@pytest.mark.parametrize(("ratio", "said"), [(interval(0.99), "yes"), (interval(0.9), "no: order, client")])
def test_vllm_against_itself_holds_one_or_not(ratio: Interval, said: str) -> None:
    one = SelfComparison(
        placement="in-turn",
        why="in-turn: one GPU is free",
        points=(point(ratio),),
        starts=(),
        idle=("idle costs nothing",),
        not_timed="the budget is small",
    )
    text = page(result(comparisons=(one,)))
    assert f"| in-turn | 1 | {ratio.text()} | 10 | {said}" in text
    for said in ("- placement: in-turn: one GPU is free", "- idle costs nothing", "- the budget is small"):
        assert said in text


def test_the_json_is_read_back() -> None:
    one = result(variants=(variant(),))
    assert CheckResult.model_validate_json(one.model_dump_json()) == one
