"""Chooses the number of threads of an iteration by timing it on this host.

One core reads a small model in less time than two cores need to divide the work, and if other processes use
the cores too, waiting for a thread that is not running takes longer than the iteration. So the number is
measured; results do not depend on it. An operator who sets OMP_NUM_THREADS has already decided.

A large model takes seconds per iteration, so the measurement is bounded: prompts are short, and once it has
taken `BUDGET_S`, each candidate is timed once.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tasks.workers.completions_server.engine import Engine

ROUNDS, PROMPT_ROUNDS = 7, 3
BUDGET_S = 10.0
# Tokens of the prompt that is measured: enough for the products of a longer one.
PROMPT_TOKENS = 32
# More threads have to be worth it: they take cores from the connections and from other processes.
WORTH = 0.9


@dataclass(frozen=True)
class ThreadPlan:
    """The number of threads for reading prompts, and for generating, by number of rows (index 0 is one row).

    A number of rows that was not measured gets the threads of the next smaller one that was.
    """

    prefill: int
    decode: tuple[int, ...]

    def __str__(self) -> str:
        return f"threads measured: {self.prefill} for prompts, {list(self.decode)} for 1, 2, ... rows"


def measure_threads(engine: Engine, cores: int, use: Callable[[int], None]) -> ThreadPlan:
    """Time iterations with each candidate; this is also the first use, in which kernels prepare themselves.

    Args:
        engine: what to run.
        cores: most threads to try.
        use: sets the number of threads of the calling thread.
    """
    candidates = [*powers_of_two_below(cores), cores]
    position = engine.limits.max_seq_len - 1
    began = time.perf_counter()

    def seconds(iteration: Callable[[], object], rounds: int) -> dict[int, float]:
        taken: dict[int, list[float]] = {count: [] for count in candidates}
        iteration()
        for done in range(rounds):
            if done and time.perf_counter() - began > BUDGET_S:
                break
            for count in candidates:
                use(count)
                started = time.perf_counter()
                iteration()
                taken[count].append(time.perf_counter() - started)
        return {count: statistics.median(times) for count, times in taken.items()}

    def best(rows: int) -> int:
        return cheapest(seconds(lambda: engine.decode([0] * rows, [position] * rows), ROUNDS))

    most = engine.limits.max_batch_size
    measured = {rows: best(rows) for rows in [*powers_of_two_below(most), most]}
    decode = [measured[max(known for known in measured if known <= rows)] for rows in range(1, most + 1)]
    prompt = [0] * min(PROMPT_TOKENS, engine.limits.max_input_len)
    prefill = cheapest(seconds(lambda: engine.prefill(0, [prompt]), PROMPT_ROUNDS))
    return ThreadPlan(prefill, tuple(decode))


def powers_of_two_below(limit: int) -> list[int]:
    """The powers of two 1, 2, 4, ... that are smaller than the limit."""
    return [1 << bit for bit in range(limit.bit_length()) if 1 << bit < limit]


def cheapest(seconds: Mapping[int, float]) -> int:
    """The fewest threads that no larger number beats by more than a tenth."""
    chosen = min(seconds)
    for count in sorted(seconds):
        if seconds[count] < WORTH * seconds[chosen]:
            chosen = count
    return chosen
