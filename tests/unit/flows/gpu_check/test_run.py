"""The variants of a check, their work replaced: each gets to its text, whatever becomes of the others."""

import subprocess
import sys
from typing import Any

import pytest
from support.gpu_check import checkpoint
from support.paths import ROOT

from artifacts.settings import Settings
from engine_specs.tables import load_targets
from flows.gpu_check import run as module
from flows.gpu_check.choice import Chosen, HostChoice
from flows.gpu_check.result import Pulled, SelfComparison, VariantResult
from flows.gpu_check.run import Check, Found
from flows.gpu_check.specs import CheckTerms, spec_name
from flows.gpu_check.steps import Steps
from flows.gpu_check.variants import parse_variant, vllm_itself
from flows.prefect_run import BuildSummary
from tasks.errors import WorkerOutOfMemory
from tasks.toolchains import Toolchain

NAMES = ("trtllm-torch/none", "trtllm-torch/fp8")
TARGET = load_targets()["h200"]


def chosen(name: str, *obstacles: str) -> Chosen:
    return Chosen(variant=parse_variant(name), toolchains=("aot-cuda",), obstacles=obstacles)


def summary(name: str, version: str | None = "0.1.0") -> BuildSummary:
    return BuildSummary(
        spec=spec_name(parse_variant(name)),
        commit="c" * 40,
        version=version,
        publication="published" if version else "not published: the verdict is rejected",
        variants=(),
        stages=(),
        duration_s=1.0,
    )


class Run:
    """A check whose builds, figures and pulls are the test's."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch, *variants: Chosen) -> None:
        self.writes: list[int] = []
        self.found = Found(Steps(lambda _line: None))
        choice = HostChoice(gpus="1 x NVIDIA H200", target=TARGET.name, variants=variants)
        self.check = Check(settings, choice, checkpoint(), CheckTerms(), self.found, self._write)
        toolchain = Toolchain.model_construct(
            name="aot-cuda", provider="host", identity="a" * 64, versions={"torch": "2.11.0"}, differences=()
        )
        monkeypatch.setattr(module, "ensure", lambda *_: toolchain)
        monkeypatch.setattr(Check, "_build", lambda self, one: summary(one.variant.name))
        monkeypatch.setattr(
            Check, "_figures", lambda self, one, _: VariantResult(name=one.variant.name, verdict="compile")
        )
        pulled = Pulled(release="x@0.1.0", ready_s=3.0, text="x", tokens=1)
        monkeypatch.setattr(Check, "_pull", lambda self, one, _: pulled)

    def _write(self) -> None:
        self.writes.append(len(self.found.variants))

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(one.name, one.state) for one in self.found.steps.records]


def test_prefect_is_not_imported_before_the_local_stack_is_up() -> None:
    """It reads the address of its server when it is imported; without one, it starts a server of its own."""
    program = "import sys, flows.gpu_check.__main__; sys.exit('prefect.settings' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_every_variant_is_built_pulled_and_served(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(settings, monkeypatch, *map(chosen, NAMES))
    run.check.run(())
    assert [(one.name, one.verdict, bool(one.pulled)) for one in run.found.variants] == [
        (name, "compile", True) for name in NAMES
    ]
    assert [one.versions for one in run.found.toolchains] == [{"torch": "2.11.0"}]
    assert run.writes == sorted(run.writes), "the page is written while it grows"
    assert {0, 1, 2} == set(run.writes)


def test_one_that_fails_loses_nothing_of_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(settings, monkeypatch, *map(chosen, NAMES))

    def build(_self: Check, one: Chosen) -> BuildSummary:
        if one.variant.name == NAMES[0]:
            raise WorkerOutOfMemory("memory ran out")
        return summary(one.variant.name)

    monkeypatch.setattr(Check, "_build", build)
    run.check.run(())
    first, second = run.found.variants
    assert (first.verdict, first.obstacles) == (None, ("memory ran out",))
    assert (second.verdict, second.pulled is not None) == ("compile", True)
    assert (f"build {NAMES[0]}", "failed") in run.states
    assert run.found.steps.failed


def test_figures_that_cannot_be_read_do_not_lose_the_release(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(settings, monkeypatch, chosen(NAMES[0]))
    monkeypatch.setattr(Check, "_figures", lambda *_: {}["missing"])
    run.check.run(())
    (only,) = run.found.variants
    assert (only.verdict, only.pulled is not None) == (None, True)
    assert run.found.steps.failed


def test_what_was_not_published_is_not_pulled_and_why_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(settings, monkeypatch, chosen(NAMES[0]))
    monkeypatch.setattr(Check, "_build", lambda self, one: summary(one.variant.name, None))
    run.check.run(())
    assert run.found.variants[0].pulled is None
    assert run.found.steps.records[-1].state == "not run"
    assert "the verdict is rejected" in run.found.steps.records[-1].detail


def test_obstacles_are_recorded_and_nothing_is_tried(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(settings, monkeypatch, chosen(NAMES[0], "toolchain x is missing"))
    run.check.run(("",))
    assert run.found.variants[0].obstacles == ("toolchain x is missing",)
    assert run.states == [(NAMES[0], "not run")]


def test_vllm_is_compared_with_itself_in_each_placement_before_anything_is_built(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(settings, monkeypatch, chosen(f"{NAMES[0]}/tp2"))
    asked: list[str] = []

    def compare(_pipeline: Any, spec: Any, placement: str) -> SelfComparison:
        asked.append(placement)
        assert spec.name == spec_name(vllm_itself(placement)), "whatever is built"
        assert [one.tensor_parallel for one in spec.variants] == [1]
        return SelfComparison(placement=placement, why=placement, points=(), starts=(), idle=())

    class Nowhere:
        def ensure_bucket(self) -> None:
            """Make nothing."""

    monkeypatch.setattr(module, "open_store", lambda _: Nowhere())
    monkeypatch.setattr(module, "compare_with_itself", compare)
    run.check.run(("", "in-turn") if "placement" in Settings.model_fields else ("",))
    assert asked[0] == ""
    assert len(run.found.comparisons) == len(asked)
    names = [name for name, _ in run.states]
    assert names.index("vLLM against itself, placed automatically") < names.index(f"build {NAMES[0]}/tp2")
