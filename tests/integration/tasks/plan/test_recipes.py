"""`plan` and `--commands` over recipes and targets that no shipped spec has, and its refusals in words."""

import json
import subprocess
from pathlib import Path

import pytest
from support.paths import DATA
from support.programs.cli import run_here

from engine_specs.spec import load_spec, resolve_variants

SPEC = DATA / "specs" / "recipes-on-gpus.yaml"


def plan(home: Path, spec: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    env = {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(home / "hf"),
        "ENGINERY_HOME": str(home / "enginery"),
    }
    return run_here("plan", spec, *more, env=env)


def test_every_variant_can_be_planned_with_its_memory(tmp_path: Path) -> None:
    ended = plan(tmp_path, SPEC, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (planned,) = json.loads(ended.stdout)
    names = [variant.name for variant in resolve_variants(load_spec(SPEC))]
    linear = [one["memory"]["lines"][0]["arithmetic"].split(" x ")[-1] for one in planned["variants"]]
    assert dict(zip(names, linear, strict=True)) == {
        "h20-rowwise": "8 bits / 8",
        "h200-auto": "6.05 bits / 8",
        "rtx-5090-w4a16": "4.5 bits / 8",
        "gb300-nvfp4-kv": "8 bits / 8",
        "gb300-mxfp8": "8.25 bits / 8",
        "l40-blocks": "8 bits / 8",
        "gb10-nvfp4": "4.5 bits / 8",
    }


def test_commands_name_the_plugin_and_the_preset(tmp_path: Path) -> None:
    ended = plan(tmp_path, SPEC, "--commands", "--variant", "h20-rowwise")
    assert ended.returncode == 0, ended.stderr
    assert "--fp8_rowwise_gemm_plugin auto" in ended.stdout
    assert "FP8_PER_CHANNEL_PER_TOKEN_CFG" in ended.stdout


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: h20-rowwise, target: h20", "name: h20-rowwise, target: b200", "where 100 <= SM < 120"),
        ("target: h200-nvl", "target: gb10", "NVIDIA's playbook for it (build.nvidia.com/playbooks/trt-llm)"),
        ("target: h200-nvl,", "target: h200-nvl, pipeline_parallel: 2,", "each stage numbers its own from 0"),
        ("target: gb10,", "target: gb10, tensor_parallel: 2,", "a host has one gb10"),
        ("{recipe: nvfp4, kv_cache: none}", "{recipe: mxfp8, kv_cache: none}", "neither matrix has a column"),
        (
            "{recipe: fp8, kv_cache: nvfp4}",
            "{recipe: nvfp4, kv_cache: nvfp4}",
            "FP8 weights and activations only",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence_and_a_source(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = SPEC.read_text()
    assert text.count(old) == 1
    changed = tmp_path / "recipes-on-gpus.yaml"
    changed.write_text(text.replace(old, new))
    ended = plan(tmp_path, changed)
    assert ended.returncode == 2
    assert said in " ".join((ended.stdout + ended.stderr).split())
