"""Caches ship if starts from a copy used them and were faster; each reason not to is said."""

import pytest

from tasks.workers.vllm.proof import Start, nothing_to_keep, prove, read_start, unused

LINES = (
    "INFO [decorators.py:320] Directly load AOT compilation from path /var/tmp/x/model",
    "INFO [monitor.py:88] torch.compile took 0.65 s in total",
    "INFO [backends.py:295] [head] Directly load the compiled graph(s) for compile range (1, 8) from cache",
    "INFO [monitor.py:88] [head] torch.compile took 0.35 s in total",
    "INFO [core.py:386] init engine (profile, create kv cache, warmup model) took 7.40 s (compilation: 1 s)",
)


def start(ready_s: float, added: int = 0, **changes: object) -> Start:
    whole = {
        "ready_s": ready_s, "processor_s": ready_s, "ranks": 1, "ranks_loaded": 0, "load_failures": 0,
        "torch_compile_s": None, "init_engine_s": 1.0, "compiled_files": 16, "compiled_files_added": added,
    }  # fmt: skip
    return Start(**(whole | changes))  # type: ignore[arg-type]


def starts(*seconds: float, **changes: object) -> list[Start]:
    return [start(one, **changes) for one in seconds]  # type: ignore[arg-type]


COLD, WARM, COPY = starts(60, 62, added=16), starts(20, 21), starts(21, 20)


def test_what_vllm_says_of_itself_is_read() -> None:
    read = read_start(46.1, 30.0, LINES, (16, 16), "")
    assert (read.ranks, read.ranks_loaded, read.load_failures) == (1, 1, 0)
    assert (read.torch_compile_s, read.init_engine_s) == (1.0, 7.4)
    silent = read_start(46.1, 30.0, ("Application startup complete.",), (0, 16), "a reason")
    assert (silent.torch_compile_s, silent.init_engine_s, silent.ranks_loaded) == (None, None, 0)
    assert (silent.compiled_files, silent.compiled_files_added, silent.cold_because) == (16, 16, "a reason")


# Two processes that divide a layer (vLLM 0.26.0): lines of `logger.info` come from both, those of
# `logger.info_once` from the first, and the engine's own from neither.
LINES_OF_TWO = (
    "(Worker_TP1 pid=857) INFO [decorators.py:311] Directly load AOT compilation from path /var/tmp/x/1",
    "(Worker_TP0 pid=856) INFO [decorators.py:311] Directly load AOT compilation from path /var/tmp/x/0",
    "(Worker_TP0 pid=856) INFO [monitor.py:53] torch.compile took 4.60 s in total",
    "(EngineCore pid=320) INFO [core.py:340] init engine (profile, create kv cache, warmup) took 8.50 s",
)


def test_what_two_processes_say_is_read_as_of_one_server() -> None:
    read = read_start(60.1, 80.0, LINES_OF_TWO, (62, 62), "")
    assert (read.ranks, read.ranks_loaded, read.load_failures) == (2, 2, 0)
    assert (read.torch_compile_s, read.init_engine_s) == (4.6, 8.5)
    cold = start(120, 62, torch_compile_s=22.0, ranks=2)
    assert unused(cold, read, 2) == ""
    other = "(Worker_TP1 pid=857) INFO [monitor.py:62] torch.compile took 5.10 s in total"
    both = read_start(60.1, 80.0, (*LINES_OF_TWO, other), (62, 62), "")
    assert both.torch_compile_s == 5.1, "they compile at the same time"
    failed = LINES_OF_TWO[0].replace(
        "Directly load AOT compilation", "Compiling model again due to a load failure"
    )
    one_of_them = read_start(110.0, 90.0, (failed, *LINES_OF_TWO[1:]), (62, 70), "")
    assert "could not load" in unused(cold, one_of_them)


NUMBERED_LATER = "(Worker pid=857) INFO [parallel_state.py:1] rank 1 in world size 2"
AGAIN = "(Worker_TP1 pid=857) INFO [backends.py:399] Compiling a graph for compile range (1, 8) takes 9.1 s"


@pytest.mark.parametrize(
    ("lines", "cold_ranks", "devices"),
    [
        # The other process is known from a line of its own, from the cold start, or from the request.
        ((NUMBERED_LATER, *LINES_OF_TWO[1:]), 1, 1),
        (LINES_OF_TWO[1:], 2, 1),
        (LINES_OF_TWO[1:], 1, 2),
        # It loaded one graph and compiled another.
        ((*LINES_OF_TWO, AGAIN), 2, 2),
        # Twice the same process is one.
        ((*LINES_OF_TWO[1:], LINES_OF_TWO[1]), 2, 2),
    ],
)
def test_a_process_that_does_not_say_that_it_only_loaded_compiled_again(
    lines: tuple[str, ...], cold_ranks: int, devices: int
) -> None:
    cold = start(120, 62, torch_compile_s=22.0, ranks=cold_ranks)
    said = unused(cold, read_start(60.1, 80.0, lines, (62, 62), ""), devices)
    assert said.endswith("1 of 2 processes say that they only loaded what was compiled")
    assert said.startswith("vLLM compiled again")


def test_copies_of_the_model_that_each_have_one_device_are_counted() -> None:
    """With data parallelism over devices that divide no layer, the engine's own processes hold the model."""
    copies = [
        f"(EngineCore_DP{number} pid={900 + number}) INFO [decorators.py:320] Directly load AOT compilation "
        f"from path /var/tmp/x/{number}"
        for number in range(2)
    ]
    cold = start(120, 62, torch_compile_s=22.0)
    assert unused(cold, read_start(60.1, 80.0, copies, (62, 62), ""), 2) == ""
    assert "1 of 2 processes" in unused(cold, read_start(60.1, 80.0, copies[:1], (62, 62), ""), 2)


def test_caches_that_help_ship_with_the_figures() -> None:
    proof = prove(COLD, WARM, COPY)
    assert proof.ships
    assert proof.cold_over_copy is not None
    assert proof.copy_over_warm is not None
    assert proof.cold_over_copy.lower > 2.0
    assert proof.copy_over_warm.lower < 1.0 < proof.copy_over_warm.upper
    assert str(proof.cold_over_copy) in proof.reason


def test_caches_that_do_not_help_do_not_ship() -> None:
    proof = prove(starts(60, 62, added=16), starts(59, 63), starts(61, 60))
    assert not proof.ships
    assert proof.reason.endswith("no gain that shows")


def test_on_a_busy_host_the_processors_time_decides() -> None:
    cold = [start(59, 16, processor_s=80.0), start(131, 16, processor_s=84.0)]
    warm = [start(51, processor_s=30.0), start(42, processor_s=31.0)]
    copy = [start(51, processor_s=30.0), start(36, processor_s=31.0)]
    proof = prove(cold, warm, copy)
    assert proof.cold_over_copy is not None
    assert proof.processor_cold_over_copy is not None
    assert proof.cold_over_copy.lower < 1.0 < proof.processor_cold_over_copy.lower
    assert proof.ships


def test_caches_that_are_shown_to_be_slower_do_not_ship_whatever_the_processors_did() -> None:
    """As on a host whose disk takes longer to copy them than its processors to compile."""
    cold = [start(20, 16, processor_s=80.0), start(21, 16, processor_s=84.0)]
    slow = [start(59, processor_s=30.0), start(61, processor_s=31.0)]
    proof = prove(cold, slow, slow)
    assert proof.cold_over_copy is not None
    assert proof.processor_cold_over_copy is not None
    assert proof.cold_over_copy.upper < 1.0 < proof.processor_cold_over_copy.lower
    assert not proof.ships
    assert proof.reason.endswith("no gain that shows")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cold_because": "/var/tmp/x belongs to user 7"}, "cold: /var/tmp/x belongs to user 7"),
        ({"load_failures": 1}, "could not load what vLLM had compiled"),
        ({"added": 3}, "3 files were compiled again"),
    ],
)
def test_a_start_that_did_not_use_them_is_said(changes: dict[str, object], said: str) -> None:
    assert said in unused(COLD[0], start(20, **changes))  # type: ignore[arg-type]


def test_where_vllm_compiles_itself_its_own_words_count() -> None:
    cold = start(60, 16, torch_compile_s=15.0)
    assert "compiled again" in unused(cold, start(20, torch_compile_s=14.0))
    assert unused(cold, start(20, added=1, ranks_loaded=1)) == ""


def test_a_start_that_compiles_nothing_leaves_nothing_to_keep() -> None:
    assert "enforce_eager" in nothing_to_keep(start(20, compiled_files=0))
    assert nothing_to_keep(start(20, cold_because="taken")) == "no caches were filled: taken"
    assert nothing_to_keep(COLD[0]) == ""
