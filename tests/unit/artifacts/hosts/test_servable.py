"""What keeps an engine from being served here, reported before anything starts."""

from pathlib import Path
from typing import Any

import pytest
from support.engines.directories import ARGUMENTS, TOOL_VERSION, on_h200, tuned, write_engine
from support.standin.nvml import gpu

from artifacts.errors import CannotServe, IntegrityError
from artifacts.hosts import HostFacts, refuse_unservable
from artifacts.hosts.servable import read_engine

PAIR = (gpu(index=0), gpu(index=1))
FACTS = HostFacts(machine="x86_64", cpu_features=(), gpus=PAIR, driver="580.95.05")
VERSIONS = {"tensorrt-llm": TOOL_VERSION, "torch": "2.14.0"}


def refusal(tree: Path, facts: HostFacts = FACTS, versions: dict[str, str] = VERSIONS) -> str:
    with pytest.raises(CannotServe) as caught:
        refuse_unservable(tree, facts, versions)
    assert (caught.value.exit_code, caught.value.failure) == (4, "unsupported")
    return str(caught.value)


def test_an_engine_on_its_own_host_is_served(tmp_path: Path) -> None:
    write_engine(tmp_path)
    refuse_unservable(tmp_path, FACTS, VERSIONS)


def test_a_checkpoint_has_nothing_to_refuse_by(tmp_path: Path) -> None:
    assert read_engine(tmp_path) is None
    refuse_unservable(tmp_path, HostFacts(machine="none", cpu_features=()), {})


def test_a_manifest_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    write_engine(tmp_path)
    (tmp_path / "engine.json").write_text('{"format": 1')
    with pytest.raises(IntegrityError, match=r"engine\.json cannot be read"):
        refuse_unservable(tmp_path, FACTS, VERSIONS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gpus": (gpu("NVIDIA L40S", capability="8.9"),)}, "needs 2 x NVIDIA H200"),
        ({"gpus": PAIR[:1]}, "this host has 1 x NVIDIA H200"),
        ({"driver": "570.10"}, "needs NVIDIA driver 580.65.06 or newer, this host has 570.10"),
        (
            {"gpus": (), "driver": None, "no_gpus": "no NVIDIA driver is installed"},
            "no NVIDIA driver is installed",
        ),
        ({"machine": "aarch64"}, "needs x86_64, this host is aarch64"),
    ],
)
def test_another_gpu_driver_or_machine_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_engine(tmp_path)
    message = refusal(tmp_path, FACTS.model_copy(update=changes))
    assert said in message
    assert "enginery pull" in message


@pytest.mark.parametrize(
    ("tools", "versions", "said"),
    [
        (
            {"tensorrt": "10.14.1.48"},
            {"tensorrt": "10.13.3.9"},
            "built with tensorrt 10.14.1.48, the toolchain has 10.13.3.9",
        ),
        (
            {"tensorrt_llm": "1.2.1"},
            {"tensorrt-llm": "1.2.0"},
            "built with tensorrt_llm 1.2.1, the toolchain has 1.2.0",
        ),
        (
            {"tensorrt": "of somebody's own"},
            {"tensorrt": "10.14.1.48"},
            "built with tensorrt of somebody's own, the toolchain has 10.14.1.48",
        ),
        (
            {"tensorrt_llm": "1.3.0rc15"},
            {"tensorrt-llm": "1.3.0rc14"},
            "built with tensorrt_llm 1.3.0rc15, the toolchain has 1.3.0rc14",
        ),
    ],
)
def test_a_plan_of_another_tool_version_is_refused(
    tmp_path: Path, tools: dict[str, str], versions: dict[str, str], said: str
) -> None:
    write_engine(tmp_path, tools=tools, tuning=None)
    message = refusal(tmp_path, versions=versions)
    assert said in message
    assert "build the variant again" in message


@pytest.mark.parametrize(
    ("built_with", "found"),
    [("2.13.0+cpu", "2.13.0+cpu"), ("2.9.1+cu130", "2.9.1"), ("10.14.1.48", "10.14.1.48.post1")],
)
def test_another_spelling_of_a_version_is_not_another_version(
    tmp_path: Path, built_with: str, found: str
) -> None:
    write_engine(tmp_path, tools={"torch": built_with, "transformers": "4.57.3"}, tuning=None)
    refuse_unservable(tmp_path, FACTS, {"torch": found, "transformers": "5.5.4"})


@pytest.mark.parametrize(
    ("measured_on", "said"),
    [
        (
            {"gpu_name": "NVIDIA H100 80GB HBM3"},
            "gpu name: measured with NVIDIA H100 80GB HBM3, about to be loaded with NVIDIA H200",
        ),
        ({"compute_capability": "8.9"}, "compute capability: measured with 8.9, about to be loaded with 9.0"),
        (
            {"tool_version": "1.4.0rc0"},
            f"tool version: measured with 1.4.0rc0, about to be loaded with {TOOL_VERSION}",
        ),
        ({"tensor_parallel": 4}, "tensor parallel: measured with 4, about to be loaded with 2"),
        ({"config_sha256": "f" * 64}, f"config sha256: measured with {'f' * 64}"),
    ],
)
def test_a_tuning_cache_of_elsewhere_is_refused_with_what_differs(
    tmp_path: Path, measured_on: dict[str, Any], said: str
) -> None:
    write_engine(tmp_path, requires=on_h200(2), tuning=tuned(**measured_on))
    message = refusal(tmp_path)
    assert f"tuning cache autotuner/cache.json, {said}" in message
    assert message.count("tuning cache") == 1


def test_settings_that_changed_since_are_noticed(tmp_path: Path) -> None:
    write_engine(tmp_path)
    (tmp_path / "llm_args.yaml").write_text(ARGUMENTS.replace("0.9", "0.5"))
    assert "config sha256" in refusal(tmp_path)
    (tmp_path / "llm_args.yaml").write_text("damaged: [")
    assert "config sha256" in refusal(tmp_path)
    (tmp_path / "llm_args.yaml").unlink()
    assert "config sha256" in refusal(tmp_path)


def test_every_reason_is_reported_at_once(tmp_path: Path) -> None:
    write_engine(tmp_path, tuning=tuned(gpu_name="NVIDIA B200", compute_capability="10.0"))
    message = refusal(tmp_path, versions={"tensorrt-llm": "1.4.0"})
    assert message.count("tuning cache") == 3
    assert "built with tensorrt_llm 1.4.0rc1, the toolchain has 1.4.0" in message
