"""Which placement the sides of a variant get: by free GPUs, by memory with figures, or as the user says."""

from typing import Any

import pytest
from support.specs.gpu import CONFIG, FILES, gpu_variant
from support.standin.nvml import gpu

from artifacts.hosts import ServeCommand
from engine_specs.preflight import ServedMemory, estimate_served
from engine_specs.spec import ResolvedVariant, load_spec, resolve_variants
from engine_specs.tables import load_targets
from tasks.comparison.choice import Room, choose_placement
from tasks.errors import GpusUnavailable, PlacementImpossible
from tasks.kinds import vllm_serve_command, with_memory_share

SPEC = load_spec("llama-3.1-8b-instruct")
# Its workload keeps 32 x (1024 + 256) tokens at once.
SMALL = gpu_variant(SPEC, kind="aot-inductor", target="h200", recipe="none")
(DEMO,) = resolve_variants(load_spec("demo"))


def served(variant: ResolvedVariant = SMALL) -> ServedMemory:
    found = estimate_served(SPEC, variant, CONFIG, FILES)
    assert found is not None
    return found


def room(free: int, *busy: str, memory: ServedMemory | None = None) -> Room:
    return Room([gpu(index=index) for index in range(free)], busy, memory or served())


def choose(free: int, sides: int = 2, variant: ResolvedVariant = SMALL, **changes: Any) -> Any:
    forced = changes.pop("forced", None)
    return choose_placement(variant, sides, room(free, memory=served(variant), **changes), forced)


def test_a_host_with_gpus_for_all_sides_gives_each_its_own() -> None:
    choice = choose(3, sides=3)
    assert (choice.name, choice.memory_share) == ("together", None)
    assert choice.reason == "3 GPUs are free, and 3 sides need 1 each"


def test_one_gpu_is_shared_where_memory_allows_it() -> None:
    choice = choose(1)
    assert (choice.name, choice.memory_share) == ("shared", 0.45)
    assert choice.reason.startswith(
        "2 sides on GPUs of their own need 2, and 1 is free; 2 shares of 67.8 GB; "
    )
    assert "the engine takes" in choice.reason


def test_sides_that_a_share_would_squeeze_are_measured_in_turn_with_figures() -> None:
    large = SMALL.model_copy(update={"target": load_targets()["l40s"]})
    choice = choose(1, variant=large)
    assert choice.name == "in-turn"
    assert "the engine and vLLM would not fit: 2 shares of 21." in choice.reason


def test_several_references_share_if_all_of_them_fit() -> None:
    assert choose(1, sides=3).name == "shared"
    assert choose(1, sides=5).name == "in-turn"


@pytest.mark.parametrize("kind", ["trt-plan", "trtllm-torch"])
def test_a_server_that_takes_what_is_left_shares_with_nobody(kind: str) -> None:
    choice = choose(1, variant=gpu_variant(SPEC, kind=kind, target="h200"))
    assert choice.name == "in-turn"
    assert f"the server of {kind} takes all of the memory that is left" in choice.reason


def test_the_share_of_a_reference_holds_what_the_workload_keeps_at_once() -> None:
    load = SPEC.workload
    tokens = max(load.concurrency) * (load.input_tokens + load.output_tokens)
    lines = {line.what: line for line in served().reference.lines}
    cache = next(line for what, line in lines.items() if what.startswith("KV cache"))
    assert f"x {max(tokens, SMALL.shape.max_seq_len):,} tokens" in cache.arithmetic
    assert cache.bytes == 2 * 32 * 8 * 128 * 2 * max(tokens, SMALL.shape.max_seq_len)


def test_memory_that_is_not_known_is_not_shared() -> None:
    choice = choose_placement(SMALL, 2, Room([gpu()], (), None), None)
    assert (choice.name, choice.memory_share) == ("in-turn", None)
    assert "the memory of the sides is not known" in choice.reason


@pytest.mark.parametrize("name", ["shared", "in-turn"])
def test_the_user_may_force_a_placement(name: Any) -> None:
    choice = choose(8, forced=name)
    assert (choice.name, choice.reason) == (name, "ENGINERY_PLACEMENT says so")
    assert (choice.memory_share is not None) == (name == "shared")
    assert choose_placement(DEMO, 3, Room((), (), None), name).name == name


def test_a_placement_that_is_impossible_is_refused_with_figures() -> None:
    with pytest.raises(PlacementImpossible, match="need 2, and 1 is free") as caught:
        choose(1, forced="together")
    assert caught.value.where == "ENGINERY_PLACEMENT=together"
    with pytest.raises(PlacementImpossible, match=r"5 shares of 2\d\.\d GB"):
        choose(1, sides=5, forced="shared")


def test_processes_of_others_that_leave_no_gpu_are_named() -> None:
    taken = "GPU 0 (NVIDIA H200), 12.0 GB in use by process 7 (python3, 12.0 GB)"
    with pytest.raises(GpusUnavailable, match=r"too few GPUs are free to measure .*: 0 of 1") as caught:
        choose_placement(SMALL, 2, room(0, taken), None)
    assert caught.value.where == taken
    assert taken in choose_placement(SMALL, 2, room(1, taken), None).reason


def test_a_cpu_host_holds_all_sides() -> None:
    choice = choose_placement(DEMO, 2, Room((), (), None), None)
    assert (choice.name, choice.memory_share) == ("together", None)


def test_vllm_gets_its_share_and_other_servers_are_left_as_they_are() -> None:
    plain = vllm_serve_command({}, SMALL)
    given = vllm_serve_command({"gpu_memory_utilization": 0.9}, SMALL)
    for command in (plain, given):
        argv = with_memory_share(command, 0.45).argv
        assert argv[argv.index("--gpu-memory-utilization") + 1] == "0.45"
        assert argv.count("--gpu-memory-utilization") == 1
    other = ServeCommand(toolchain="aot-serve-cpu", argv=("{python}",), model="m")
    assert with_memory_share(other, 0.45) == other
