"""`enginery recompute` and `history`, from a real store: what one host judged, another one judges again."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.engines.stand_ins import manifest
from support.judging import evidence as planted
from support.stores.releases import NOTHING, published

from artifacts.releases import KeptVerdict, VariantRelease, VerdictKey, keep_verdict
from artifacts.store import Store, blob_key
from flows.cli.main import run as run_command
from tasks.evidence import Evidence, keep_evidence

KEY = VerdictKey(name="demo", version="1.4", commit="0" * 40, variant="cpu-int8", basis=NOTHING)


class Judging:
    """A host that judges: evidence and verdict are kept, and published if asked."""

    def __init__(self, store: Store, engine: str) -> None:
        self.store = store
        self._engine = engine

    def judge(self, evidence: Evidence, **changes: Any) -> KeptVerdict:
        tree = keep_evidence(self.store, evidence)
        entry = planted.entry_of(evidence, self._engine, evidence=tree, **changes)
        return keep_verdict(self.store, KEY, entry, "x86_64 without GPUs")

    def publish(self, entry: VariantRelease) -> str:
        made = published(self.store, entry, content=str(entry.evidence))
        return f"demo@{made.version}"


@pytest.fixture
def judging(store: Store, tmp_path: Path) -> Judging:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "engine.json").write_text(manifest(stand_in=False).model_dump_json())
    return Judging(store, store.put_tree(tmp_path / "engine").digest)


@pytest.fixture
def on_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, commands run on a host that has never seen any of it."""
    monkeypatch.setenv("ENGINERY_HOME", str(tmp_path / "home-elsewhere"))
    monkeypatch.setenv("ENGINERY_CACHE_DIR", str(tmp_path / "cache-elsewhere"))


@dataclass(frozen=True)
class Done:
    """What a command wrote, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def enginery(
    judging: Judging, on_another_host: None, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Runs a command on another host than the one that judges, in this process: starting one takes longer."""

    def run(*words: str) -> Done:
        capsys.readouterr()
        code = run_command(words)
        return Done(code, *capsys.readouterr())

    return run


def test_another_host_judges_a_release_again_to_the_same_digits(
    judging: Judging, enginery: Callable[..., Done]
) -> None:
    reference = judging.publish(judging.judge(planted.engine()).entry)
    done = enginery("recompute", reference)
    assert done.returncode == 0, done.stderr
    assert "cpu-int8: compile; " in done.stdout
    assert "numbers and words are the same to the digit, by the same judge" in done.stdout
    verified = enginery("verify", "--store", reference)
    assert verified.returncode == 0, verified.stderr


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [(lambda: planted.engine(regrets=[1.0] * 400), "rejected"), (planted.without_engine, "stay-on-vllm")],
)
def test_a_verdict_that_was_not_published_is_judged_again_by_its_id(
    judging: Judging, enginery: Callable[..., Done], evidence: Callable[[], Evidence], verdict: str
) -> None:
    kept = judging.judge(evidence())
    done = enginery("recompute", "demo", "--verdict", kept.id, "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["said"], found["verdict"]) == ("same", verdict)
    assert enginery("recompute", "demo", "--verdict", "another").returncode == 4


def test_damaged_evidence_is_an_integrity_error(
    judging: Judging, enginery: Callable[..., Done], overwrite: Callable[[str, bytes], None]
) -> None:
    entry = judging.judge(planted.engine()).entry
    reference = judging.publish(entry)
    listing = judging.store.get_listing(str(entry.evidence))
    damaged = next(file for file in listing.files if file.path == "measured.json.gz")
    overwrite(blob_key(damaged.sha256), bytes(damaged.size))
    done = enginery("recompute", reference)
    assert done.returncode == 6
    assert "measured.json.gz is damaged in the store" in done.stderr


def test_a_changed_sample_that_is_published_as_if_it_was_measured_is_found(
    judging: Judging, enginery: Callable[..., Done]
) -> None:
    """All digests are right: whoever changed it put a new tree, and a new release, into the store."""
    evidence = planted.engine()
    assert evidence.kept.measured is not None
    result = json.loads(json.dumps(evidence.kept.measured.result))
    result["speed"]["points"][1]["rounds"][0]["wall_s"] *= 1.5
    changed = evidence.kept.measured.model_copy(update={"result": result})
    forged = replace(evidence, kept=replace(evidence.kept, measured=changed))
    reference = judging.publish(judging.judge(forged).entry)
    done = enginery("recompute", reference)
    assert done.returncode == 6, done.stderr
    assert "cpu-int8: compile; evidence or release was changed after it was judged" in done.stdout
    assert "engine: samples are not those that were judged" in done.stdout
    assert "conclusions.engine.ratios.2." in done.stdout


def test_a_release_without_evidence_has_nothing_to_judge_again(
    judging: Judging, enginery: Callable[..., Done]
) -> None:
    reference = judging.publish(planted.entry_of(planted.engine(), judging._engine))
    done = enginery("recompute", reference)
    assert done.returncode == 4
    assert f"{reference} has no evidence on any variant" in done.stderr
    assert "fix:" not in done.stderr, "no other variant has any"
    named = enginery("recompute", reference, "--variant", "nope")
    assert "fix: name another of these, or none to get all" in named.stderr


def test_history_says_which_side_changed_since_the_last_release_with_an_engine(
    judging: Judging, enginery: Callable[..., Done]
) -> None:
    first = judging.judge(planted.engine())
    judging.publish(first.entry)
    repeated = judging.judge(planted.engine(), measurements=first.entry.measurements)
    judging.judge(planted.engine(2.0 / 1.15, rate=575.0, hour=1))
    judging.judge(planted.engine(2.0, host={**planted.HOST, "cores": 64}, hour=2))
    done = enginery("history", "demo", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["channels"] == []
    assert [entry["releases"] for entry in found["verdicts"]] == [["1.4.0"], [], []]
    assert repeated.id not in [entry["id"] for entry in found["verdicts"]]

    shown = enginery("history", "demo").stdout
    assert "demo@1.4.0, the reference became 15.0% faster [" in shown
    assert "and the engine did not change by more than 10% [" in shown
    assert "Not comparable with demo@1.4.0: another class of host (cores: 2 -> 64)." in shown
    assert first.id in shown
