"""The stage `measure` spends an attempt before the first look: a run that ends afterwards was one.

The sides are replaced here; that they announce a look is tested with the measurement of speed.
"""

from pathlib import Path

import pytest
from support.judging.judgements import TOGETHER, measured, protocol
from support.specs import trt_plan

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import load_spec
from tasks.comparison import Comparison
from tasks.errors import ServerBroke
from tasks.judging import Measured
from tasks.runs import Pipeline
from tasks.stages import measure as stage
from tasks.toolchains import Toolchain

ASKED = protocol()
TREES = {"checkpoint": "c" * 64, "heldout": "d" * 64, "engine": "a" * 64}


def installed(_name: str, *_: object, **__: object) -> Toolchain:
    root = Path("toolchain")
    return Toolchain(name="vllm-cpu", root=root, python=root, bin_dir=root, identity="0" * 64, versions={})


@pytest.mark.parametrize(("looks", "attempts"), [(True, [1, 2, 3]), (False, [1, 1, 1])])
def test_attempts_that_end_after_a_look_are_counted(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, looks: bool, attempts: list[int]
) -> None:
    begun: list[int] = []

    def sides(_pipeline: Pipeline, one: Comparison, _kept: object) -> Measured:
        begun.append(one.attempt)
        if looks:
            one.on_look()
        if len(begun) < len(attempts):
            raise ServerBroke("the engine's server ended")
        return measured(one.protocol.digest, [0.0] * 40, ratio=1.4)

    monkeypatch.setattr(stage, "refuse_stand_in", lambda *_: None)
    monkeypatch.setattr(stage, "comparison_of", lambda *_: Comparison(ASKED, [], "test", TOGETHER, None))
    monkeypatch.setattr(stage, "benchmark_of", lambda *_: None)
    monkeypatch.setattr(stage, "measure_sides", sides)
    monkeypatch.setattr(stage, "ensure", installed)
    pipeline = Pipeline(settings, store, say=lambda _line: None, force=True)
    spec, variant = load_spec("llama-3.1-8b-instruct"), trt_plan.variant()
    for _ in attempts[1:]:
        with pytest.raises(ServerBroke):
            stage.measure(pipeline, spec, variant, ASKED, TREES)
    made = stage.measure(pipeline, spec, variant, ASKED, TREES)
    assert begun == attempts
    assert made.measurement.attempt == attempts[-1]
