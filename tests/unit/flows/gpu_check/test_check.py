"""A whole check, its work replaced: what it writes, and which exit code it returns."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.gpu_check import checkpoint, cpu_host, host

from artifacts.hosts import HostFacts
from artifacts.settings import Settings
from engine_specs.tables import load_targets
from flows.errors import BadArgument
from flows.gpu_check import __main__ as program
from flows.gpu_check import check as module
from flows.gpu_check.options import Options
from flows.gpu_check.run import Check, placed
from flows.gpu_check.steps import Steps
from tasks.errors import WorkerFailed
from tasks.toolchains import NotInstalled

H200 = host(load_targets()["h200"], 1)


@pytest.fixture
def on(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the check on a host of the test's own; nothing is trained, started or built."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "planned_identity", lambda *_: "a" * 64)
    monkeypatch.setattr(module, "trained_checkpoint", lambda *_: checkpoint())
    monkeypatch.setattr(module, "_in_the_stack", lambda check, *_: check.run(()))
    monkeypatch.setattr(Check, "run", lambda self, itself: None)

    def run(facts: HostFacts, *arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(module, "probe_host", lambda: facts)
        code = program.main(["--results", str(tmp_path / "results"), *arguments])
        written = sorted(path.name for path in tmp_path.glob("results/*"))
        return code, written

    return run


def text_of(tmp_path: Path) -> str:
    (path,) = tmp_path.glob("results/*.md")
    return path.read_text()


def test_the_command_is_shown_without_directories_of_this_host() -> None:
    shown = program.shown_command(
        ["--results", "/a", "--size", "1B", "--stdlib=/b", "--itself", "shared", "--results=/c"]
    )
    assert shown == "python -m flows.gpu_check --size 1B --itself shared"


def test_without_a_gpu_it_exits_4_and_writes_nothing(on: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert on(cpu_host()) == (4, [])
    assert "no NVIDIA driver is installed" in capsys.readouterr().err


def test_page_and_json_are_written_side_by_side(on: Any, tmp_path: Path) -> None:
    code, written = on(H200, "--variant", "trtllm-torch/fp8/tp2")
    assert code == 4, "two GPUs are needed, and there is one"
    assert [name.partition("gpu-check-")[2] for name in written] == ["h200.json", "h200.md"]
    document = json.loads(next(tmp_path.glob("results/*.json")).read_text())
    assert document["checkpoint"]["asked"] == "1B"
    assert document["rehearsal"] is False


def test_only_gpus_that_cuda_visible_devices_allows_take_part(
    on: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    on(host(load_targets()["h200"], 2))
    (text,) = (path.read_text() for path in tmp_path.glob("results/*.md"))
    assert "1 x NVIDIA H200" in text
    assert "2 x NVIDIA H200" not in text


def test_with_all_gpus_hidden_it_runs_nothing(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert on(H200) == (4, [])


def test_a_host_without_the_toolchain_that_trains_gets_a_page_that_says_so(
    on: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = NotInstalled(name="aot-cuda", reason="it is not installed yet", fix="enginery toolchain adopt")
    monkeypatch.setattr(module, "planned_identity", lambda *_: missing)
    assert on(H200)[0] == 4
    assert "toolchain aot-cuda: it is not installed yet (fix: enginery toolchain adopt)" in text_of(tmp_path)
    assert "none was trained" in text_of(tmp_path)


def test_training_that_fails_is_on_the_page(on: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise WorkerFailed("memory ran out")

    monkeypatch.setattr(module, "trained_checkpoint", fail)
    assert on(H200)[0] == 1
    assert "memory ran out" in text_of(tmp_path)


@pytest.mark.parametrize(("fails", "code"), [(False, 0), (True, 1)])
def test_its_exit_code_says_whether_a_step_failed(
    on: Any, monkeypatch: pytest.MonkeyPatch, fails: bool, code: int
) -> None:
    def run(self: Check, itself: object) -> None:
        self._step("build", lambda: 1 / 0 if fails else 1)

    monkeypatch.setattr(Check, "run", run)
    assert on(cpu_host(), "--cpu", "--variant", "aot-inductor/none")[0] == code


def test_training_alone_ends_without_a_page(on: Any) -> None:
    assert on(H200, "--train-only") == (0, [])


def test_a_size_that_the_gpu_cannot_train_is_refused_with_one_that_it_can(on: Any) -> None:
    with pytest.raises(BadArgument, match="takes 94 GB, and one h100-sxm has 86 GB") as caught:
        on(host(load_targets()["h100-sxm"], 1), "--size", "3B")
    assert caught.value.fix == "--size 2.6B, or smaller"
    for name, size in (("h200", "5.4B"), ("h100-sxm", "2.6B"), ("a100-40gb", "1B"), ("l4", "350M")):
        assert on(host(load_targets()[name], 1), "--size", size, "--train-only")[0] == 0


def test_what_a_step_keeps_for_its_backward_pass_counts(on: Any) -> None:
    """1 B parameters: 17.6 GB of weights and moments, and as much again for a batch of rows."""
    with pytest.raises(BadArgument, match="takes 39 GB, and one rtx-5090 has 34 GB"):
        on(host(load_targets()["rtx-5090"], 1), "--size", "1B")


@pytest.mark.parametrize(
    ("running", "arguments", "stopped"),
    [({}, (), True), ({}, ("--keep-stack",), False), ({"PREFECT_API_URL": "x"}, (), False)],
)
def test_a_stack_is_stopped_by_the_check_that_started_it(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    running: dict[str, str],
    arguments: tuple[str, ...],
    stopped: bool,
) -> None:
    from flows import prefect_run
    from flows.demo import environment
    from flows.stack import environment as stack_environment
    from flows.stack import lifecycle

    seen: list[str] = []
    monkeypatch.setattr(stack_environment, "stack_environment", lambda _: running)
    monkeypatch.setattr(lifecycle, "up", lambda *_: seen.append("up") or "up")
    monkeypatch.setattr(lifecycle, "down", lambda *_: seen.append("down"))
    monkeypatch.setattr(prefect_run, "deliver", lambda: seen.append("deliver"))
    monkeypatch.setattr(environment, "enter", lambda *_: None)
    monkeypatch.setattr(environment, "demo_hub", lambda _: nullcontext("http://127.0.0.1:9"))
    steps = Steps(lambda _line: None)

    def fail(_: object) -> None:
        seen.append("run")
        raise RuntimeError

    check, options = SimpleNamespace(run=fail), Options(keep_stack=bool(arguments))
    with pytest.raises(RuntimeError):
        module._in_the_stack(check, checkpoint(), options, settings, steps)  # type: ignore[arg-type]
    assert seen == ["up", "run", *(["deliver", "down"] if stopped else [])]


def test_a_placement_is_forced_for_its_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("ENGINERY_PLACEMENT", "together")
    with placed("in-turn"):
        assert os.environ["ENGINERY_PLACEMENT"] == "in-turn"
    assert os.environ["ENGINERY_PLACEMENT"] == "together"
    monkeypatch.delenv("ENGINERY_PLACEMENT")
    with pytest.raises(RuntimeError), placed("shared"):
        raise RuntimeError
    assert "ENGINERY_PLACEMENT" not in os.environ
