"""The main job on real parts: Hub client, vLLM, ModelOpt, AOTInductor, Prefect, S3; interrupted."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from support.programs.cli import PROGRAM, run_cli
from support.programs.main_job import SPEC, Finished
from support.programs.processes import ASKING_S, alive, wait_until
from support.servers.runs import log_of, run_ids

from artifacts.ports import free_port
from artifacts.releases import read_release
from artifacts.settings import Settings
from artifacts.store import open_store
from artifacts.store.trees import scan
from flows.stack.components.prefect_api import PrefectApi
from tasks.toolchains import ensure, serving

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(1500)]


def completion(base_url: str, model: str, prompt: str) -> dict[str, Any]:
    body = {"model": model, "prompt": prompt, "max_tokens": 24, "temperature": 0, "return_token_ids": True}
    request = urllib.request.Request(
        f"{base_url}/v1/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        choice: dict[str, Any] = json.load(answer)["choices"][0]
    return choice


def test_ends_with_a_verdict_and_a_release(finished: Finished) -> None:
    assert finished.exit_code == 0, finished.log
    (variant,) = finished.summary["variants"]
    assert variant["verdict"] in {"compile", "stay-on-vllm"}
    for gate in ("Mean regret", "Goodput per device"):
        (reason,) = [one for one in variant["reasons"] if one.startswith(gate)]
        assert "confidence" in reason, "a verdict without an interval"
    assert finished.summary["version"] == "2.0.0"
    assert finished.summary["channels"] == ["nightly"]


def test_nothing_was_published_before_the_last_step_and_nothing_twice(finished: Finished) -> None:
    assert finished.releases_before == []
    assert "already" in finished.summary["publication"]
    assert [release["version"] for release in finished.job.releases()] == ["2.0.0"]


def test_nothing_finished_was_done_again(finished: Finished) -> None:
    stages = finished.summary["stages"]
    assert {stage["stage"] for stage in stages} == {"fetch", "quantize", "build"}
    assert all(stage["reused"] for stage in stages), stages
    for line in ("baseline: reused", "measure: reused"):
        assert line in finished.log


def test_nothing_that_was_made_here_was_downloaded(finished: Finished) -> None:
    """By any of the runs: those that were interrupted made it, those after them used it."""
    assert finished.downloads == 0


def test_plan_shows_nothing_to_do_and_says_why(finished: Finished) -> None:
    planned = finished.job.cli("plan", SPEC, "--json")
    assert planned.returncode == 0, planned.stderr
    (plan,) = json.loads(planned.stdout)
    assert [(one["stage"], one["state"]) for one in plan["stages"]] == [
        ("fetch", "hit"),
        ("fetch", "hit"),
        ("baseline", "hit"),
        ("quantize", "hit"),
        ("build", "hit"),
        ("measure", "hit"),
        ("judge", "always"),
        ("publish", "always"),
    ]
    assert all(one["reasons"] for one in plan["stages"])


def test_plan_names_the_field_that_changed(finished: Finished, tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(SPEC.read_text().replace("max_seq_len: 96", "max_seq_len: 80"))
    planned = finished.job.cli("plan", changed, "--json")
    (plan,) = json.loads(planned.stdout)
    (build,) = [one for one in plan["stages"] if one["stage"] == "build"]
    assert build["state"] == "miss"
    assert build["reasons"] == ["request.params.shape.max_seq_len: 96 -> 80"]


def test_pulled_engine_is_the_judged_tree_and_generates_the_same_tokens(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled = finished.job.cli("pull", "e2e:nightly", "--to", tmp_path / "root", "--json")
    assert pulled.returncode == 0, pulled.stderr
    directory = tmp_path / "root" / "e2e" / "2.0.0" / "cpu-int8"
    (variant,) = finished.summary["variants"]
    assert scan(directory).digest == variant["tree"]
    assert finished.job.cli("verify", directory).returncode == 0
    for name, value in finished.job.env.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    judged = tmp_path / "judged"
    store = open_store(settings)
    store.materialize(variant["tree"], judged)
    release = read_release(store, "e2e", "2.0.0")
    recipe = release.variants[0].serve
    assert recipe is not None
    answers = []
    for number, tree in enumerate((directory, judged)):
        toolchain = ensure(recipe.toolchain, settings)
        log = tmp_path / f"{number}.log"
        with serving(
            toolchain, recipe, tree, log=log, on_line=lambda _line: None, ready_limit_s=300
        ) as server:
            answers.append(completion(server.base_url, server.model, "def main(arguments):"))
    assert answers[0]["token_ids"] == answers[1]["token_ids"]
    assert len(answers[0]["token_ids"]) > 4
    assert answers[0]["text"].strip()


def test_serve_announces_the_release_once_it_answers_to_its_name(finished: Finished, tmp_path: Path) -> None:
    pulled = finished.job.cli("pull", "e2e", "--to", tmp_path / "root")
    assert "e2e means e2e@2.0.0: its newest release" in pulled.stderr
    port = free_port()
    serve = [*PROGRAM, "serve", pulled.stdout.strip(), "--port", str(port)]
    with subprocess.Popen(
        serve,
        env={**os.environ, **finished.job.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            announced = next(line for line in process.stderr if line.startswith("serving "))
            assert announced.endswith(f"at http://127.0.0.1:{port}/v1 as model 'e2e'\n")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=30) as answer:
                assert [model["id"] for model in json.load(answer)["data"]] == ["e2e"]
            assert completion(f"http://127.0.0.1:{port}", "e2e", "def main(arguments):")["text"].strip()
            again = finished.job.cli(*serve[len(PROGRAM) :])
            assert (again.returncode, f"port {port} is taken" in again.stderr) == (2, True)
        finally:
            process.send_signal(signal.SIGINT)


def test_report_is_one_page_with_every_number_in_it(finished: Finished, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    fetched = finished.job.cli("report", "e2e:nightly", "--to", page)
    assert fetched.returncode == 0, fetched.stderr
    text = page.read_text()
    assert "<svg" in text
    assert not re.search(r'(?:src|href)="https?:', text), "the page refers to something outside"
    assert 'download="report.json" href="data:application/json;base64,' in text


def test_the_release_is_judged_again_to_the_same_digits(finished: Finished) -> None:
    again = finished.job.cli("recompute", "e2e:nightly")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "are the same to the digit, by the same judge" in again.stdout
    shown = json.loads(finished.job.cli("history", "e2e", "--json").stdout)
    released, *_ = [entry for entry in shown["verdicts"] if entry["releases"]]
    assert released["releases"][0] == "2.0.0"
    assert released["speed"]["engine"]["speed"]["lower"] > 0


def api(finished: Finished, path: str, body: dict[str, Any]) -> Any:
    return PrefectApi.of(finished.job.env).post(path, body)


def test_the_run_is_visible_in_prefect(finished: Finished) -> None:
    run_id = finished.summary["page"].rsplit("/", 1)[1]
    (run,) = api(finished, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    (variant,) = finished.summary["variants"]
    verdict = variant["verdict"]
    assert run["name"] == f"e2e@2.0.0 {verdict}"
    assert run["state"]["message"].startswith(
        f"{verdict}: e2e@2.0.0, {variant['speedup']['estimate']:.2f} times"
    )
    engine = next(one for one in finished.summary["stages"] if one["stage"] == "build")
    assert {
        "spec:e2e",
        "model:enginery/demo-llama",
        "target:cpu-x86-64-v3",
        f"engine:{engine['fingerprint'][:12]}",
        f"verdict:{verdict}",
        "release:e2e@2.0.0",
    } <= set(run["tags"])
    tasks = api(finished, "task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    assert {task["name"] for task in tasks} == {
        "fetch enginery/demo-llama",
        "fetch heldout",
        "baseline cpu-int8",
        "quantize cpu-int8",
        "build cpu-int8",
        "measure cpu-int8",
        "judge cpu-int8",
        "publish e2e",
        "progress",
        "figures cpu-int8",
        "stages",
    }


def test_the_verdict_is_the_one_artifact_of_the_flow_itself(finished: Finished) -> None:
    """Prefect's first UI shows it before those of tasks; its second, to which we link, does not."""
    run_id = finished.summary["page"].rsplit("/", 1)[1]
    found = api(finished, "artifacts/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    assert {one["key"] for one in found if one["key"]} == {
        "e2e-verdict",
        "e2e-cpu-int8-figures",
        "e2e-cpu-int8-report",
        "e2e-stages",
    }
    (page,) = [one for one in found if one["task_run_id"] is None]
    assert page["key"] == "e2e-verdict"
    assert "`e2e@2.0.0`" in page["description"]
    (progress,) = [one for one in found if one["type"] == "progress"]
    assert (progress["data"], progress["description"]) == (100.0, "all stages are done")
    (stages,) = [json.loads(one["data"]) for one in found if one["key"] == "e2e-stages"]
    assert [row["stage"] for row in stages] == ["fetch", "fetch", "baseline", "quantize", "build", "measure"]
    assert {row["result"] for row in stages} == {"reused"}


def test_the_report_opens_from_the_page_of_the_run(finished: Finished) -> None:
    run_id = finished.summary["page"].rsplit("/", 1)[1]
    wanted = {"flow_runs": {"id": {"any_": [run_id]}}, "artifacts": {"key": {"any_": ["e2e-verdict"]}}}
    (page,) = api(finished, "artifacts/filter", wanted)
    link = re.search(r"\]\((http[^)]+)\)", page["data"])
    assert link is not None, page["data"]
    with urllib.request.urlopen(link[1], timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "<svg" in answer.read().decode()


def test_the_worker_runs_the_deployed_flow_from_the_form(finished: Finished) -> None:
    (deployment,) = api(finished, "deployments/filter", {"deployments": {"name": {"any_": ["build"]}}})
    assert deployment["parameter_openapi_schema"]["properties"]["spec"]["enum"] == ["e2e"]
    path = f"deployments/{deployment['id']}/create_flow_run"
    with pytest.raises(urllib.error.HTTPError, match="409"):
        api(finished, path, {"parameters": {"spec": "no-such-spec"}})
    created = api(finished, path, {"parameters": {"spec": "e2e", "require_cached": True}})

    def state() -> str:
        (run,) = api(finished, "flow_runs/filter", {"flow_runs": {"id": {"any_": [created["id"]]}}})
        return str(run["state"]["type"])

    final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    wait_until(lambda: state() in final, limit_s=180, every_s=ASKING_S)
    assert state() == "COMPLETED"
    assert len(finished.job.releases()) == 1


def test_a_run_from_the_form_that_cannot_work_says_why_once(finished: Finished) -> None:
    (deployment,) = api(finished, "deployments/filter", {"deployments": {"name": {"any_": ["build"]}}})
    path = f"deployments/{deployment['id']}/create_flow_run"
    created = api(finished, path, {"parameters": {"spec": "e2e", "variant": "h100"}})

    def run() -> dict[str, Any]:
        (found,) = api(finished, "flow_runs/filter", {"flow_runs": {"id": {"any_": [created["id"]]}}})
        return dict(found)

    final = {"COMPLETED", "FAILED", "CRASHED"}
    wait_until(lambda: run()["state"]["type"] in final, limit_s=180, every_s=ASKING_S)
    # Its process logs until its end.
    pid = int(run()["infrastructure_pid"].rpartition(":")[2])
    wait_until(lambda: not alive(pid), limit_s=60)
    log = "\n".join(one.message for one in log_of(finished.job.env, UUID(created["id"])))
    what = "spec e2e has no variant 'h100'"
    assert (run()["state"]["type"], what in run()["state"]["message"]) == ("FAILED", True)
    assert log.count(what) == 1, log
    assert "Traceback" not in log


def test_nightly_skips_what_has_not_changed_and_says_why(finished: Finished) -> None:
    ended = finished.job.cli("nightly", "--json")
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)["rows"]
    assert (row["spec"], row["outcome"]) == ("e2e", "skipped")
    assert row["reason"].startswith("unchanged: e2e@2.0.0")
    (run_id,) = run_ids(ended.stderr)
    (run,) = api(finished, "flow_runs/filter", {"flow_runs": {"id": {"any_": [str(run_id)]}}})
    assert (run["name"], run["state"]["message"]) == ("nightly: 1 skipped", "1 skipped: e2e")


def test_nightly_notices_another_price_and_says_what_came_of_the_night(
    finished: Finished, tmp_path: Path
) -> None:
    """Nothing has to be measured or built again for another price, but there is another verdict."""
    text = SPEC.read_text()
    assert "requests_per_day: 1000" in text
    (tmp_path / "e2e.yaml").write_text(text.replace("requests_per_day: 1000", "requests_per_day: 2000"))
    (tmp_path / "gone.yaml").write_text(
        text.replace("name: e2e", "name: gone").replace("enginery/demo-llama", "enginery/no-such-model")
    )
    ended = run_cli("nightly", "--json", env=finished.job.env | {"ENGINERY_SPECS_DIR": str(tmp_path)})
    assert ended.returncode == 1, ended.stderr
    built, gone = json.loads(ended.stdout)["rows"]
    assert (built["outcome"], built["release"], gone["outcome"]) == ("built", "e2e@2.0.1", "failed")
    assert built["verdict"] in {"compile", "stay-on-vllm"}
    night, *builds = map(str, run_ids(ended.stderr))
    assert [built["run"].rsplit("/", 1)[1], gone["run"].rsplit("/", 1)[1]] == builds
    (run,) = api(finished, "flow_runs/filter", {"flow_runs": {"id": {"any_": [night]}}})
    assert run["state"]["message"] == f"1 failed: gone; 1 built: e2e@2.0.1 {built['verdict']}"
    assert run["name"] == "nightly: 1 failed, 1 built"
    (table,) = api(finished, "artifacts/filter", {"flow_runs": {"id": {"any_": [night]}}})
    rows = json.loads(table["data"])
    assert [(row["spec"], row["verdict"], row["release"]) for row in rows] == [
        ("`e2e`", built["verdict"], "2.0.1"),
        ("`gone`", "failed", ""),
    ]
    assert [row["run"] for row in rows] == [f"[run]({built['run']})", f"[run]({gone['run']})"]
