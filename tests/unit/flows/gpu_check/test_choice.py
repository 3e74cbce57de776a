"""What `make gpu-check` runs on which host, and what it says where something cannot run."""

from pathlib import Path

import pytest
from support.gpu_check import DRIVER, checkpoint, cpu_host, host
from support.plans.golden import absent

from artifacts.settings import Settings
from engine_specs.reading import Problem
from engine_specs.spec import resolve_variants
from engine_specs.tables import Target, load_kinds, load_targets
from flows.errors import BadArgument
from flows.gpu_check.choice import HostChoice, choose, host_target
from flows.gpu_check.options import Options, placement_names
from flows.gpu_check.specs import VARIANT, CheckTerms, check_spec
from flows.gpu_check.variants import CheckVariant, parse_variant, vllm_itself
from tasks.kinds import kind_named

TARGETS = load_targets()
GPU_TARGETS = [target for target in TARGETS.values() if target.gpu]
GPU_KINDS = [kind for kind in load_kinds().values() if "cuda" in kind.accelerators]
CPU_KINDS = [kind for kind in load_kinds().values() if "cpu" in kind.accelerators]
TRAINED, TERMS = checkpoint(), CheckTerms()


def installed(_name: str) -> str:
    return "a" * 64


def on(target: str, count: int = 1, *asked: str, identity=installed) -> HostChoice:
    facts = host(TARGETS[target], count) if TARGETS[target].gpu else cpu_host()
    return choose(facts, TARGETS[target], identity, TRAINED, tuple(map(parse_variant, asked)), TERMS)


@pytest.mark.parametrize("target", GPU_TARGETS, ids=lambda one: one.name)
def test_every_gpu_is_its_target(target: Target) -> None:
    assert host_target(host(target, 1), "cuda") == target


def test_a_host_without_a_gpu_is_no_gpu_target_and_its_highest_cpu_level() -> None:
    assert "NVIDIA GPU" in str(host_target(cpu_host(), "cuda"))
    assert host_target(cpu_host(), "cpu") == TARGETS["cpu-x86-64-v3"]


def test_a_gpu_of_no_target_is_none() -> None:
    h100 = host(TARGETS["h100-sxm"], 1)
    gpu = h100.gpus[0].model_copy(update={"name": "NVIDIA GeForce 256", "compute_capability": "1.0"})
    said = host_target(h100.model_copy(update={"gpus": (gpu,)}), "cuda")
    assert "no target names this GPU" in str(said)


def test_by_default_every_kind_of_a_gpu_is_checked_unquantized_and_quantized() -> None:
    choice = on("h100-sxm", 8)
    names = [one.variant.name for one in choice.variants]
    for kind in GPU_KINDS:
        own = [name for name in names if name.startswith(f"{kind.name}/") and "/tp" not in name]
        assert own == [f"{kind.name}/none", f"{kind.name}/fp8"]
    assert {one.variant.name for one in choice.runnable} == set(names)
    assert DRIVER in choice.gpus


def test_on_two_gpus_one_variant_is_spread_over_both() -> None:
    spread = [one.variant for one in on("h200", 2).variants if one.variant.tensor_parallel > 1]
    assert [one.tensor_parallel for one in spread] == [2]
    assert not [one for one in on("h200", 1).variants if one.variant.tensor_parallel > 1]


def test_a_rehearsal_takes_the_kinds_of_the_cpu() -> None:
    choice = on("cpu-x86-64-v3")
    assert {one.variant.kind for one in choice.runnable} == {kind.name for kind in CPU_KINDS}
    assert "aot-inductor/int8_weight_only" in {one.variant.name for one in choice.runnable}
    assert "aot-cpu" in choice.toolchains


def test_what_is_missing_is_reported_with_the_remedy() -> None:
    lacking = {
        one.variant.name: "\n".join(one.obstacles) for one in on("h100-sxm", 8, identity=absent).variants
    }
    for kind in GPU_KINDS:
        for name in (kind.toolchains.build["cuda"], kind.toolchains.quantize["cuda"]):
            assert f"toolchain {name}: it is not installed yet" in lacking[f"{kind.name}/fp8"]
            assert f"enginery toolchain install {name}" in lacking[f"{kind.name}/fp8"]


def test_what_is_not_quantized_needs_no_modelopt() -> None:
    plain, quantized = on("h100-sxm", 8, "trtllm-torch/none", "trtllm-torch/fp8").variants
    assert set(quantized.toolchains) - set(plain.toolchains) == {"modelopt-cuda"}


def test_what_was_asked_for_is_taken_instead_and_refused_in_words() -> None:
    choice = on("l4", 2, "trtllm-torch/none", "trtllm-torch/nvfp4", "trtllm-torch/none/tp4")
    fine, unsupported, too_many = choice.variants
    assert fine.obstacles == ()
    assert "pre-flight refuses it" in unsupported.obstacles[0]
    assert any("needs 4 x NVIDIA L4" in obstacle for obstacle in too_many.obstacles)


def test_what_a_kind_refuses_of_its_options_is_known_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = Problem("variants.checked.engine.options", "an odd value", "another one")
    monkeypatch.setattr(type(kind_named("vllm")), "option_problems", lambda *_: (problem,))
    refused, fine = on("h100-sxm", 1, "vllm/fp8", "aot-inductor/none").variants
    assert refused.obstacles == (f"pre-flight refuses it: {problem}",)
    assert fine.obstacles == ()


def test_one_card_is_enough_for_variants_of_one_device() -> None:
    choice = on("h100-sxm", 1, "vllm/fp8", "aot-inductor/none", "vllm/none/tp2")
    assert [one.variant.name for one in choice.runnable] == ["vllm/fp8", "aot-inductor/none"]


def test_two_cards_hold_one_side_each_or_both_sides_of_two_and_say_so_beforehand() -> None:
    asked = ("aot-inductor/none@together", "vllm/none/tp2", "vllm/none/tp2@in-turn", "vllm/fp8/tp2@shared")
    assert [one.variant.name for one in on("h200", 2, *asked).runnable] == list(asked)
    refused = on("h200", 2, "vllm/none/tp2@together", "aot-inductor/fp8@together").variants
    assert ["need 4, and 2 are free" in one.obstacles[0] for one in refused] == [True, False]
    assert "3 sides on GPUs of their own need 3, and 2 are free" in refused[1].obstacles[0]


@pytest.mark.parametrize("target", ["cpu-x86-64-v3", *(one.name for one in GPU_TARGETS)])
def test_vllm_is_compared_with_itself_in_any_placement_that_two_devices_hold(target: str) -> None:
    for name in ("", *placement_names()):
        itself = vllm_itself(name)
        assert itself.name == f"vllm/none{f'@{name}' if name else ''}"
        assert on(target, 2, itself.name).variants[0].obstacles == ()


def test_options_that_only_cost_time_are_small() -> None:
    def options(kind: str) -> dict[str, object]:
        spec = check_spec(CheckVariant(kind=kind, recipe="none"), TARGETS["h100-sxm"], TRAINED.commit, TERMS)
        return dict(resolve_variants(spec)[0].engine.options)

    assert options("vllm")["warmth_starts"] == 2
    assert options("aot-inductor") == {}


def test_an_old_driver_keeps_a_variant_from_running() -> None:
    facts = host(TARGETS["h100-sxm"], 8).model_copy(update={"driver": "535.183.01"})
    choice = choose(facts, TARGETS["h100-sxm"], installed, TRAINED, (), TERMS)
    assert choice.runnable == ()
    assert "needs NVIDIA driver 580 or newer, this host has 535.183.01" in choice.variants[0].obstacles[0]


def test_specs_of_the_check_have_the_checkpoint_and_the_budget() -> None:
    variant = CheckVariant(kind="trtllm-torch", recipe="fp8", tensor_parallel=2)
    spec = check_spec(
        variant, TARGETS["h100-sxm"], TRAINED.commit, CheckTerms(rounds_minutes=3.5, output_tokens=64)
    )
    (resolved,) = resolve_variants(spec)
    assert (resolved.name, resolved.tensor_parallel, resolved.target.name) == (VARIANT, 2, "h100-sxm")
    assert (spec.validation.speed.budget_minutes, spec.workload.output_tokens) == (7.5, 64)
    assert spec.checkpoint.revision == TRAINED.commit
    assert (spec.name, spec.compile, spec.channels) == ("gpu-check-trtllm-torch-fp8-tp2", "always", ())


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("aot-inductor/none", CheckVariant(kind="aot-inductor", recipe="none")),
        ("trt-plan/fp8/tp2@x", CheckVariant(kind="trt-plan", recipe="fp8", tensor_parallel=2, placement="x")),
    ],
)
def test_a_variant_has_the_name_that_it_is_asked_by(text: str, variant: CheckVariant) -> None:
    assert parse_variant(text) == variant
    assert variant.name == text


@pytest.mark.parametrize("text", ["vlm/none", "aot-inductor", "aot-inductor/none/tp0", "a/b/c", ""])
def test_what_names_no_variant_is_refused_with_the_kinds(text: str) -> None:
    with pytest.raises(BadArgument, match="names no variant") as caught:
        parse_variant(text)
    assert "aot-inductor" in caught.value.fix


def test_placements_are_those_of_the_settings() -> None:
    assert Options(itself=("none",)).placements == ()
    assert Options().placements == ("", "in-turn"), "those that every host has"
    for name in placement_names():
        assert Options(itself=(name,)).placements == (name,)
    for options in (Options(itself=("upside-down",)), Options(variant=("aot-inductor/none@upside-down",))):
        with pytest.raises(BadArgument, match="no placement 'upside-down'"):
            options.require_valid()


def test_in_turn_has_a_budget_of_its_own() -> None:
    options = Options(rounds_minutes=1.5, in_turn_minutes=7)
    assert [options.terms.budget_minutes(name) for name in ("", "shared", "in-turn")] == [5.5, 5.5, 11]


def test_a_rehearsal_does_not_write_to_the_results_of_the_project(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert Options(cpu=True).directory(settings).is_relative_to(tmp_path)
    assert Options().directory(settings) == Path("docs/results")
    assert Options(cpu=True, results=tmp_path / "x").directory(settings) == tmp_path / "x"


@pytest.mark.parametrize(
    "wrong", [{"minutes": 0.0}, {"rounds_minutes": -1.0}, {"in_turn_minutes": 0}, {"allowed_minutes": -2.0}]
)
def test_minutes_have_to_be_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(BadArgument, match="more than 0"):
        Options(**wrong).require_valid()


@pytest.mark.parametrize("tokens", [-1, 0, 7, 385])
def test_output_tokens_fit_the_shape_of_the_check(tokens: int) -> None:
    Options(output_tokens=384).require_valid()
    with pytest.raises(BadArgument, match="output tokens") as caught:
        Options(output_tokens=tokens).require_valid()
    assert "from 8 to 384" in caught.value.fix
