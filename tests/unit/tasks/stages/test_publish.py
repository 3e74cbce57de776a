"""What stops a release, and what a build ends with."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.paths import E2E_SPEC

from artifacts.hosts import HostRequirements, ServeCommand
from artifacts.releases import JudgedOn, VariantRelease
from artifacts.releases.releases import Verdict
from engine_specs.spec import read_spec, resolve_variants
from engine_specs.tables import HopedSpeedup
from flows.prefect_run import BuildSummary, VariantSummary
from flows.prefect_run.page import artifact_key
from tasks.comparison import references_of
from tasks.comparison.references import References
from tasks.stages.publish import blocking, publication_fingerprint
from tasks.stages.verdicts import Gathered, basis

TEXT = E2E_SPEC.read_text()
TWO = TEXT.replace(
    "  - {name: cpu-int8, target: cpu-x86-64-v3}",
    "  - {name: cpu-int8, target: cpu-x86-64-v3}\n  - {name: extra, target: cpu-x86-64-v2, required: false}",
)
ONE_SPEC = read_spec(TEXT, Path("e2e.yaml"))
RECIPE = ServeCommand(toolchain="t", argv=("a",), model="model")


def entry(name: str, verdict: Verdict, *, required: bool = True, report: str = "a" * 64) -> VariantRelease:
    deployable = verdict in {"compile", "stay-on-vllm"}
    return VariantRelease(
        name=name,
        required=required,
        target="cpu-x86-64-v3",
        verdict=verdict,
        reasons=("because",),
        requires=HostRequirements(machine="x86_64"),
        judged_on=JudgedOn(cpu_model="a processor"),
        serve=RECIPE if deployable else None,
        tree="b" * 64 if deployable else None,
        vllm_serve=RECIPE,
        vllm_tree="c" * 64,
        checkpoint_tree="c" * 64,
        report=report,
    )


def gathered(*entries: VariantRelease, missing: tuple[str, ...] = ()) -> Gathered:
    return Gathered(entries=entries, carried=(), missing=missing, missing_required=missing)


@pytest.mark.parametrize("verdict", ["compile", "stay-on-vllm"])
def test_something_to_deploy_is_released(verdict: Verdict) -> None:
    assert blocking(ONE_SPEC, gathered(entry("cpu-int8", verdict))) is None


@pytest.mark.parametrize("verdict", ["rejected", "inconclusive"])
def test_a_required_variant_with_nothing_to_deploy_stops_the_release(verdict: Verdict) -> None:
    held = blocking(ONE_SPEC, gathered(entry("cpu-int8", verdict)))
    assert held is not None
    assert f"cpu-int8 is {verdict}" in held.reason


def test_a_required_variant_that_was_not_judged_stops_the_release() -> None:
    extra = entry("extra", "compile", required=False)
    held = blocking(read_spec(TWO, Path("e2e.yaml")), gathered(extra, missing=("cpu-int8 (needs AVX2)",)))
    assert held is not None
    assert "cpu-int8 (needs AVX2)" in held.reason


def test_an_optional_variant_stops_nothing() -> None:
    entries = [entry("cpu-int8", "compile"), entry("extra", "rejected", required=False)]
    assert blocking(read_spec(TWO, Path("e2e.yaml")), gathered(*entries)) is None


def test_evidence_kept_again_and_another_past_are_the_same_publication() -> None:
    made = entry("cpu-int8", "compile")
    again = made.model_copy(update={"evidence": "e" * 64, "since_last": "Since then, nothing changed."})
    assert publication_fingerprint(ONE_SPEC, [made]) == publication_fingerprint(ONE_SPEC, [again])


def test_a_report_made_again_is_the_same_publication() -> None:
    spec = read_spec(TEXT, Path("e2e.yaml"))
    one, other = (publication_fingerprint(spec, [entry("cpu-int8", "compile", report=d * 64)]) for d in "ab")
    assert one == other
    assert one != publication_fingerprint(spec, [entry("cpu-int8", "stay-on-vllm")])


def test_a_build_made_again_is_the_same_publication_whatever_seconds_its_reasons_name() -> None:
    made = entry("cpu-int8", "compile")
    again = made.model_copy(update={"reasons": ("because, after other seconds",)})
    assert publication_fingerprint(ONE_SPEC, [made]) == publication_fingerprint(ONE_SPEC, [again])
    dearer = read_spec(TEXT.replace("gpu_hour_usd: 0.10", "gpu_hour_usd: 7"), Path("e2e.yaml"))
    assert publication_fingerprint(ONE_SPEC, [made]) != publication_fingerprint(dearer, [made])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("input_tokens:", "input_tokens: 1"),
        ("samples:", "samples: 9"),
        ("gpu_hour_usd:", "gpu_hour_usd: 7"),
        ("max_batch_size:", "max_batch_size: 1"),
        ("compile: always", "compile: when-justified"),
        ("target: cpu-x86-64-v3", "target: cpu-x86-64-v4"),
    ],
)
def test_a_verdict_holds_for_the_words_that_it_was_reached_by(old: str, new: str) -> None:
    assert old in TEXT
    changed = re.sub(rf"{re.escape(old)}( [\d._]+)?", new, TEXT, count=1)
    assert basis_of(changed) != basis_of(TEXT)


@pytest.mark.parametrize(
    ("old", "new"), [("channels: [nightly]", "channels: [other]"), ('version: "2.0"', 'version: "2.1"')]
)
def test_what_no_judge_looks_at_leaves_a_verdict_valid(old: str, new: str) -> None:
    assert old in TEXT
    assert basis_of(TEXT.replace(old, new)) == basis_of(TEXT) == basis_of(TWO)


def test_a_verdict_holds_for_the_references_and_hopes_that_it_was_reached_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = basis_of(TEXT)
    with monkeypatch.context() as patched:
        other = HopedSpeedup(ratio=7.5, source="a test, which hopes for more")
        patched.setattr("tasks.stages.verdicts.hoped_speedup", lambda _variant: other)
        assert basis_of(TEXT) != known
    real = references_of

    def without(*args: Any, **kwargs: Any) -> References:
        found = real(*args, **kwargs)
        return References(found.taken[:-1], found.absent)

    monkeypatch.setattr("tasks.stages.verdicts.references_of", without)
    assert basis_of(TEXT) != known


def basis_of(text: str) -> str:
    spec = read_spec(text, Path("e2e.yaml"))
    return basis(spec, resolve_variants(spec)[0])


def summary(verdict: str, *, required: bool) -> BuildSummary:
    variant = VariantSummary(
        name="v",
        required=required,
        verdict=verdict,
        row="row",
        reasons=(),
        tree=None,
        report=None,
        verdict_id="",
    )
    return BuildSummary(
        spec="s", commit="c", version=None, publication="", variants=(variant,), stages=(), duration_s=0
    )


@pytest.mark.parametrize(
    ("verdict", "required", "code"),
    [
        ("compile", True, 0),
        ("stay-on-vllm", True, 0),
        ("rejected", True, 3),
        ("inconclusive", True, 3),
        ("rejected", False, 0),
    ],
)
def test_exit_codes_of_verdicts(verdict: str, required: bool, code: int) -> None:
    assert summary(verdict, required=required).exit_code == code


def test_artifact_keys_are_what_prefect_takes() -> None:
    assert artifact_key("Llama-3.1_8B--x/report") == "llama-3-1-8b-x-report"
