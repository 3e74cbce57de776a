"""The launcher that engines ship: warm where the caches are valid, otherwise cold with the reason."""

import json
import os
import sys
from pathlib import Path

import pytest
from support.engines.vllm_engines import Serve, captured_changed, write_manifest

from tasks.workers.vllm.launch import CACHE_VARIABLES

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")


def place(tree: Path) -> Path:
    return Path(json.loads((tree / "engine.json").read_text())["warm_caches"]["place"])


def test_it_becomes_vllm_behind_the_engines_place(tree: Path, serve: Serve) -> None:
    started, here = serve(tree), place(tree)
    assert started.said == f"enginery: warm start: {here}/caches"
    flags = dict(zip(started.argv, started.argv[1:], strict=False))
    assert flags["--model"] == f"{here}/model"
    assert (flags["--host"], flags["--served-model-name"]) == ("127.0.0.1", "demo")
    assert "--no-enforce-eager" in started.argv
    assert (here / "model").readlink() == tree
    assert (here / "caches" / "inductor" / "kernel.so").read_text() == "compiled"


def test_every_path_that_enters_a_key_lies_behind_the_place(tree: Path, serve: Serve) -> None:
    started, here = serve(tree), place(tree)
    assert {started.env[name] for name in CACHE_VARIABLES} == {
        f"{here}/caches/{folder}" for folder in CACHE_VARIABLES.values()
    }
    assert started.env["PYTHONPATH"] == f"{here}/imports-0"
    assert started.prefix == f"{here}/toolchain"
    assert (here / "toolchain").readlink() == Path(sys.prefix)


def test_a_toolchain_elsewhere_is_the_same_for_vllm(tree: Path, serve: Serve, tmp_path: Path) -> None:
    before = serve(tree)
    moved = tmp_path / "moved"
    moved.symlink_to(sys.prefix)
    after = serve(tree, python=str(moved / "bin" / "python"), HOME="/elsewhere")
    assert (place(tree) / "toolchain").readlink() == moved
    assert after.prefix == before.prefix
    stable = {name for name in before.env if name not in ("HOME", "_", "PATH")}
    assert {name: after.env[name] for name in stable} == {name: before.env[name] for name in stable}


def test_variables_of_vllms_key_are_those_of_the_build(tree: Path, serve: Serve) -> None:
    started = serve(tree, CUDA_HOME="/elsewhere", VLLM_LOGGING_LEVEL="DEBUG")
    assert started.env["VLLM_LOGGING_LEVEL"] == "INFO"
    assert "CUDA_HOME" not in started.env
    assert started.said.startswith("enginery: warm start: ")
    assert started.said.endswith(
        " (CUDA_HOME is not set as in the build; VLLM_LOGGING_LEVEL is INFO as in the build)"
    )


def test_variables_that_the_build_did_not_have_stay_and_are_named(tree: Path, serve: Serve) -> None:
    started = serve(tree, VLLM_FURTHER="1")
    assert started.env["VLLM_FURTHER"] == "1"
    assert "(the build did not have VLLM_FURTHER: vLLM may compile again)" in started.said


def test_a_cold_start_has_the_variables_of_its_host(tree: Path, serve: Serve) -> None:
    captured_changed(tree, vllm="0.26.0")
    assert serve(tree, CUDA_HOME="/elsewhere").env["CUDA_HOME"] == "/elsewhere"


def test_a_build_starts_it_without_the_caches_that_it_fills(tree: Path, serve: Serve) -> None:
    started, here = serve(tree, "--caches", "empty"), place(tree)
    assert started.said == f"enginery: start without caches, which fills them: {here}/caches"
    assert not (here / "caches" / "inductor" / "kernel.so").exists()
    assert len([*(here / "caches").rglob("*.so")]) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vllm": "0.26.0"}, "vllm: captured with 0.26.0, this host has 0.32.0"),
        ({"torch": "2.11.0"}, "torch: captured with 2.11.0, this host has 2.13.0"),
        ({"instructions": "avx warp9"}, "instructions: this processor lacks warp9"),
        ({"gpu_name": "NVIDIA H200"}, "this host has no nvidia-smi"),
    ],
)
def test_caches_of_another_host_are_not_used(
    tree: Path, serve: Serve, changes: dict[str, str], said: str, tmp_path: Path
) -> None:
    captured_changed(tree, **changes)
    here = place(tree)
    started = serve(tree, PATH=str(tmp_path))
    assert started.said.startswith("enginery: cold start: ")
    assert said in started.said
    assert not here.exists()
    assert f"{here}" not in json.dumps(started.env)


def test_caches_for_another_gpu_are_not_used(tree: Path, serve: Serve, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 9.0, 580.95.05'\n")
    program.chmod(0o755)
    gpu = {"gpu_name": "NVIDIA H100 80GB HBM3", "compute_capability": "9.0", "driver": "580.95.05"}
    captured_changed(tree, **gpu, cuda="13.0", instructions="")
    path = f"{program.parent}:{os.environ['PATH']}"
    assert serve(tree, PATH=path).said.startswith("enginery: warm start")
    captured_changed(tree, gpu_name="NVIDIA H200")
    said = serve(tree, PATH=path).said
    assert "gpu name: captured with NVIDIA H200, this host has NVIDIA H100 80GB HBM3" in said


def test_an_engine_without_caches_starts_cold(tree: Path, serve: Serve) -> None:
    write_manifest(tree, None)
    started = serve(tree)
    assert started.said == "enginery: cold start: this engine ships no caches"
    assert started.env["VLLM_CACHE_ROOT"].startswith(started.env["TMPDIR"])
    assert started.argv[started.argv.index("--model") + 1] == str(tree)


def test_a_taken_place_ends_in_a_cold_start(tree: Path, serve: Serve, tmp_path: Path) -> None:
    here = place(tree)
    (tmp_path / "planted").mkdir()
    here.symlink_to(tmp_path / "planted")
    started = serve(tree)
    assert f"cold start: {here} is a link to {tmp_path}/planted" in started.said
    assert [*(tmp_path / "planted").iterdir()] == []


@as_root
def test_a_place_of_another_user_ends_in_a_cold_start(tree: Path, serve: Serve) -> None:
    here = place(tree)
    here.mkdir(mode=0o700)
    os.chown(here, 65534, 65534)
    assert f"cold start: {here} belongs to user 65534" in serve(tree).said


def test_caches_that_are_not_there_end_in_a_cold_start(tree: Path, serve: Serve) -> None:
    (tree / "caches" / "inductor" / "kernel.so").unlink()
    (tree / "caches" / "inductor" / "kernel.so").symlink_to("gone")
    assert "cold start: " in serve(tree).said


@pytest.mark.parametrize("content", ["", "[]", '{"warm_caches": {"place": "/var/tmp/x"}}'])
def test_a_damaged_manifest_ends_in_a_cold_start(tree: Path, serve: Serve, content: str) -> None:
    (tree / "engine.json").write_text(content)
    assert serve(tree).said.startswith("enginery: cold start: ")
