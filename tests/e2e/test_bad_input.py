"""`enginery build` on what cannot work: the documented exit code; what, where, what to do; no traceback."""

import logging
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.checkpoints import repositories
from support.programs.cli import run_cli
from support.programs.main_job import SPEC, MainJob
from support.servers.hub_faults import Fault, faulty_hub
from support.servers.runs import log_of, run_ids

from flows.demo.hub_repo import DEMO_HUB, read_repo

COMMIT = "e3cd0e8a1b9dd3ef61851d4ef03fe7e3fb995bb6"


def build(job: MainJob, spec: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return run_cli("build", spec, env={**job.env, **env})


def assert_reported(job: MainJob, ended: "subprocess.CompletedProcess[str]", code: int, *parts: str) -> None:
    """The documented exit code; the message once on stderr and, where there was a run, once in its log."""
    last = ended.stderr[ended.stderr.rindex("enginery: ") :]
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    for part in parts:
        assert part in last, f"no {part!r} in:\n{last}"
    assert ended.stdout == ""
    message = last.removeprefix("enginery: ").strip()
    what = message.splitlines()[0]
    assert ended.stderr.count(what) == 1, ended.stderr
    for run in run_ids(ended.stderr):
        log = log_of(job.env, run)
        shown = "\n".join(one.message for one in log)
        assert [one.message.strip() for one in log if one.level >= logging.ERROR] == [message], shown
        assert shown.count(what) == 1, shown
        assert "Traceback" not in shown


def spec_with(tmp_path: Path, changes: Mapping[str, str], name: str = "spec.yaml") -> Path:
    text = SPEC.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / name
    path.write_text(text)
    return path


def test_every_problem_of_a_spec_at_once(job: MainJob, tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {"max_seq_len: 96": "max_seq_len: 32", "channels:": "chanels:"})
    assert_reported(job, build(job, spec), 2, "spec.yaml:", "chanels", "channels", "max_seq_len")


def test_broken_yaml(job: MainJob, tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {"channels: [nightly]": "channels: [nightly"})
    assert_reported(job, build(job, spec), 2, "spec.yaml:")


def test_preflight_refuses_before_anything_runs(job: MainJob, tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {"max_seq_len: 96": "max_seq_len: 4096"})
    ended = build(job, spec)
    assert_reported(job, ended, 2, "max_seq_len", "512")
    assert "fetch checkpoint" not in ended.stderr


def test_a_repository_that_is_not_there(job: MainJob, tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {"enginery/demo-llama": "enginery/no-such-model"})
    assert_reported(job, build(job, spec), 4, "enginery/no-such-model", "fix:")


def test_a_gated_repository_without_a_token(job: MainJob, tmp_path: Path) -> None:
    folder = repositories.sharded_model(tmp_path / "hub", mode="gated", tokens=["good"])
    commit = read_repo("model", folder).commit
    with faulty_hub(tmp_path / "hub") as hub:
        spec = spec_with(tmp_path, {"enginery/demo-llama": "acme/tiny", COMMIT: commit})
        ended = build(job, spec, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "hf"))
    assert_reported(job, ended, 4, "gated", "HF_TOKEN")


def test_a_download_that_stays_corrupt(job: MainJob, tmp_path: Path) -> None:
    with faulty_hub(DEMO_HUB, Fault("flip", "*model-00002*")) as hub:
        spec = spec_with(tmp_path, {"name: e2e": "name: corrupt"})
        ended = build(
            job, spec, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "hf"), ENGINERY_STORE_PREFIX="corrupt"
        )
    assert_reported(job, ended, 6, "model-00002", "fix:")


def test_a_hub_that_is_not_there(job: MainJob, tmp_path: Path) -> None:
    ended = build(
        job,
        SPEC,
        HF_ENDPOINT="http://127.0.0.1:9",
        HF_HOME=str(tmp_path / "hf"),
        ENGINERY_STORE_PREFIX="hubless",
    )
    assert_reported(job, ended, 5, "127.0.0.1:9")


def test_a_store_that_is_not_there(job: MainJob) -> None:
    assert_reported(job, build(job, SPEC, AWS_ENDPOINT_URL_S3="http://127.0.0.1:9"), 5, "127.0.0.1:9", "fix:")


def test_a_store_that_refuses(job: MainJob) -> None:
    assert_reported(job, build(job, SPEC, AWS_SECRET_ACCESS_KEY="wrong"), 5, "AWS_SECRET_ACCESS_KEY")


def test_a_variant_that_the_spec_does_not_have(job: MainJob) -> None:
    ended = job.cli("build", SPEC, "--variant", "h100")
    assert_reported(job, ended, 2, "h100", "cpu-int8")


@pytest.mark.toolchain
def test_a_server_that_never_gets_ready(job: MainJob) -> None:
    ended = build(job, SPEC, ENGINERY_SERVER_READY_LIMIT_S="1.5", ENGINERY_STORE_PREFIX="unready")
    assert_reported(job, ended, 1, "ready", "ENGINERY_SERVER_READY_LIMIT_S")
