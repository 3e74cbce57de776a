"""What a host must have to be of a target, and what of it enters a measurement's key."""

from datetime import UTC, datetime
from typing import cast

import pytest
from support.judging.judgements import SUBJECT
from support.paths import E2E_SPEC
from support.standin.nvml import gpu

from artifacts.hosts import (
    Fits,
    GpusFound,
    HostFacts,
    HostRequirements,
    NoGpus,
    Refused,
    ServeCommand,
    fits,
    probe_gpus,
)
from engine_specs.spec import read_spec, resolve_variants
from engine_specs.tables import load_targets
from tasks.hosts import host_requirements, this_host
from tasks.hosts.host_class import gpu_class
from tasks.judging import Side
from tasks.judging.decide import Verdict
from tasks.runs import Pipeline, StageResult
from tasks.stages import Case
from tasks.stages.judge import Filed, _entry
from tasks.toolchains import driver_floor


def test_every_gpu_target_is_fitted_by_hosts_that_have_its_gpu() -> None:
    for target in load_targets().values():
        if target.gpu is None:
            continue
        gpus = tuple(gpu(target.gpu.product_names[0], i, target.gpu.compute_capability) for i in range(2))
        facts = HostFacts(machine=target.machine, cpu_features=(), gpus=gpus, driver="580.95.05")
        assert isinstance(fits(host_requirements(target, 2), facts), Fits)
        assert isinstance(fits(host_requirements(target, 4), facts), Refused)
        others = [t.name for t in load_targets().values() if t.gpu and fits_one(t.name, facts)]
        assert others == [target.name]


def fits_one(target: str, facts: HostFacts) -> bool:
    return isinstance(fits(host_requirements(load_targets()[target]), facts), Fits)


def test_a_cpu_target_asks_for_no_gpu() -> None:
    asked = host_requirements(load_targets()["cpu-x86-64-v3"], 1, ["vllm-cpu"])
    assert (asked.gpu_count, asked.gpu_names, asked.compute_capability) == (0, (), None)
    assert asked.driver_floor is None
    assert "avx2" in asked.cpu_features


def test_hosts_with_the_same_gpus_and_driver_are_of_one_class() -> None:
    two = GpusFound(driver="580.95.05", cuda="13.0", gpus=(gpu(index=0), gpu(index=1)))
    swapped = two.model_copy(update={"gpus": two.gpus[::-1]})
    assert gpu_class(two) == gpu_class(swapped) == ("NVIDIA H200, driver 580.95.05",) * 2
    assert gpu_class(two.model_copy(update={"driver": "570.10"})) != gpu_class(two)
    assert gpu_class(NoGpus(reason="no driver")) == ()


def test_the_class_of_this_host_holds_its_gpus() -> None:
    assert this_host().gpus == gpu_class(probe_gpus())


def test_staying_on_vllm_asks_for_the_gpus_that_it_was_measured_on() -> None:
    spec = read_spec(E2E_SPEC.read_text(), E2E_SPEC)
    gpus = {"target": load_targets()["h100-sxm"], "tensor_parallel": 2, "pipeline_parallel": 2}
    (variant,) = resolve_variants(spec)
    checkpoint = StageResult(
        stage="fetch", variant="checkpoint", fingerprint="f" * 64, tree="c" * 64, metrics={}, tools={},
        reused=True, reason="", duration_s=0.0, made_in_s=1.0,
    )  # fmt: skip
    case = Case(spec, variant.model_copy(update=gpus), "0" * 40, (checkpoint,), datetime.now(UTC))
    verdict = Verdict(verdict="stay-on-vllm", row="r", publishes="the vLLM recipe", reasons=("fast enough",))
    recipe = ServeCommand(toolchain="vllm-cuda", argv=("{python}",), model="model")
    nowhere = cast("Pipeline", None)  # what stays on vLLM has no engine to look up
    filed = Filed(report="a" * 64, evidence="b" * 64, measurements=())
    vllm = Side(name="vllm", tree="c" * 64, serve=recipe)
    deployed = Side(name="vllm same-weights", tree="d" * 64, serve=recipe)
    entry = _entry(nowhere, case, SUBJECT, verdict, vllm=vllm, deployed=deployed, filed=filed)
    assert entry.requires == HostRequirements(
        machine="x86_64",
        gpu_names=("NVIDIA H100 80GB HBM3",),
        compute_capability="9.0",
        gpu_count=4,
        driver_floor=driver_floor(["vllm-cuda"]),
    )
    assert (entry.tree, entry.serve) == ("d" * 64, recipe)
    assert (entry.vllm_tree, entry.vllm_serve) == ("c" * 64, recipe)


def test_variables_for_tools_are_part_of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    this_host.cache_clear()
    monkeypatch.setenv("ENGINERY_TOOL_ENV", "NCCL_DEBUG=INFO")
    assert this_host().tool_env == {"NCCL_DEBUG": "INFO"}
    this_host.cache_clear()
    monkeypatch.delenv("ENGINERY_TOOL_ENV")
    assert this_host().tool_env == {}
