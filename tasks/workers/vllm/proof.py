"""Whether caches help: decided from starts without them, with them, and with a copy of them. Pure.

Invariants:
- Two things must hold of starts from a copy: vLLM's own lines, of each process that holds a part of the
  model, or the compiled files that they did not add, say that the caches were used; and they are faster
  than cold ones, by the interval of the ratio. On a busy host, if times scatter too much to decide, the
  processor seconds of the same starts decide.
- Ratios are of geometric means; the interval is a t-interval of the logarithms, with the scatter of all
  three groups pooled, which are as many starts each.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

# Two-sided 95 % quantiles of Student's t, by degrees of freedom: 3 groups of 2 to 10 starts.
T_QUANTILES = {3: 3.182, 6: 2.447, 9: 2.262, 12: 2.179, 15: 2.131, 18: 2.101, 21: 2.080, 24: 2.064, 27: 2.052}
LOADED = (
    "Directly load AOT compilation from path",  # vllm/compilation/decorators.py
    "Directly load the compiled graph(s)",  # vllm/compilation/backends.py
)
FAILED = "Compiling model again due to a load failure"  # vllm/compilation/decorators.py
# What it says of each graph that it compiled; of one that it found in a cache, it does not.
COMPILED_GRAPH = "Compiling a graph for"  # vllm/compilation/backends.py
COMPILED = re.compile(r"torch\.compile took ([\d.]+) s in total")  # vllm/compilation/monitor.py
INITIALISED = re.compile(r"init engine \(.*?\) took ([\d.]+) s")  # vllm/v1/engine/core.py
# Who prints a line, such as "(Worker_TP1 pid=857)"; before the processes are numbered, "(Worker pid=857)".
PROCESS = re.compile(r"\((\S+) pid=(\d+)\)")  # vllm/logging_utils/formatter.py
WORKER = "Worker"


@dataclass(frozen=True)
class Start:
    """One start of the server.

    Attributes:
        ready_s: seconds until it was ready.
        processor_s: processor seconds of the server until it was ended, right after its first answer.
        ranks: processes that hold a part of the model, as far as they print lines.
        ranks_loaded: processes that say that they loaded something compiled, and not that they compiled.
        load_failures: lines by which it says that it could not.
        torch_compile_s: what vLLM says that torch.compile took, in the process that took longest; None if it
            says nothing.
        init_engine_s: the same of everything after loading weights.
        compiled_files: compiled files in the caches afterwards.
        compiled_files_added: those that were not there before.
        cold_because: why the launcher did not use the place of the engine's caches; empty if it did.
    """

    ready_s: float
    processor_s: float
    ranks: int
    ranks_loaded: int
    load_failures: int
    torch_compile_s: float | None
    init_engine_s: float | None
    compiled_files: int
    compiled_files_added: int
    cold_because: str = ""


@dataclass(frozen=True)
class Ratio:
    """A ratio of start times with its 95 % interval."""

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.lower:.2f}, {self.upper:.2f}]"


@dataclass(frozen=True)
class Proof:
    """What the starts show.

    Attributes:
        ships: whether the caches become part of the engine.
        reason: why, or why not.
        cold_over_copy: seconds of a cold start per second of one from a copy; None if nobody looked.
        copy_over_warm: seconds of a start from a copy per second of a warm one.
        processor_cold_over_copy: the same as `cold_over_copy`, of processor seconds.
    """

    ships: bool
    reason: str
    cold_over_copy: Ratio | None = None
    copy_over_warm: Ratio | None = None
    processor_cold_over_copy: Ratio | None = None


def read_start(
    ready_s: float, processor_s: float, lines: Iterable[str], files: tuple[int, int], cold_because: str
) -> Start:
    """Return what a start shows, from what it printed and from the compiled files before and afterwards."""
    said = _by_process(lines)
    before, after = files
    return Start(
        ready_s=ready_s,
        processor_s=processor_s,
        ranks=max(1, sum(name.startswith(WORKER) for name, _ in said.values())),
        ranks_loaded=sum(_loaded(text) for _, text in said.values()),
        load_failures=sum(text.count(FAILED) for _, text in said.values()),
        torch_compile_s=_longest(COMPILED, said),
        init_engine_s=_longest(INITIALISED, said),
        compiled_files=after,
        compiled_files_added=after - before,
        cold_because=cold_because,
    )


def nothing_to_keep(cold: Start) -> str:
    """Say why a cold start left nothing worth keeping; empty if it did."""
    if cold.cold_because:
        return f"no caches were filled: {cold.cold_because}"
    if not cold.compiled_files:
        return "vLLM compiled nothing at its start, as with enforce_eager: every start is as fast"
    return ""


def unused(cold: Start, start: Start, devices: int = 1) -> str:
    """Say why a start did not use the caches that a cold one had filled; empty if it did.

    Args:
        cold: the start that filled them.
        start: the other one.
        devices: GPUs that the engine occupies, each by a process of its own; 1 on a CPU.
    """
    if start.cold_because:
        return f"a start with the caches was cold: {start.cold_because}"
    if start.load_failures:
        return "a start with the caches could not load what vLLM had compiled"
    if cold.torch_compile_s is not None:
        ranks = max(devices, cold.ranks, start.ranks)
        if start.ranks_loaded >= ranks:
            return ""
        count = f"{start.ranks_loaded} of {ranks} processes say that they only loaded what was compiled"
        return f"vLLM compiled again in a start with the caches: {count}"
    added = start.compiled_files_added
    return f"{added} files were compiled again in a start with the caches" if added else ""


def prove(cold: Sequence[Start], warm: Sequence[Start], copy: Sequence[Start]) -> Proof:
    """Decide whether the caches ship, given as many starts of each.

    Args:
        cold: starts with empty caches.
        warm: starts from the tree where it was built.
        copy: starts from a copy of the tree.
    """
    seconds = [[start.ready_s for start in group] for group in (cold, warm, copy)]
    processor = [[start.processor_s for start in group] for group in (cold, warm, copy)]
    over_copy, over_warm, spent = _ratio(seconds, 0, 2), _ratio(seconds, 2, 1), _ratio(processor, 0, 2)
    undecided = over_copy.lower <= 1.0 <= over_copy.upper
    ships = over_copy.lower > 1.0 or (undecided and spent.lower > 1.0)
    reason = (
        f"a cold start takes {over_copy} times as long as one from a copy, and {spent} times the processor's "
        f"time; one from a copy takes {over_warm} times as long as a warm one"
    )
    return Proof(ships, reason if ships else f"{reason}: no gain that shows", over_copy, over_warm, spent)


def _ratio(groups: Sequence[Sequence[float]], above: int, below: int) -> Ratio:
    """Return the ratio of two of three groups of as many values each."""
    logs = [[math.log(value) for value in group] for group in groups]
    count = len(logs[0])
    scatter = math.sqrt(fmean(variance(group) for group in logs) * 2 / count)
    middle, half = fmean(logs[above]) - fmean(logs[below]), T_QUANTILES[3 * (count - 1)] * scatter
    low, value, high = (round(math.exp(one), 4) for one in (middle - half, middle, middle + half))
    return Ratio(value, low, high)


def _by_process(lines: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the last name of each process that prints lines, and what it says, by its number."""
    names: dict[str, str] = {}
    said: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines:
        found = PROCESS.search(line)
        name, number = found.groups() if found else ("", "")
        names[number] = name
        said[number].append(line)
    return {number: (names[number], "\n".join(own)) for number, own in said.items()}


def _loaded(text: str) -> bool:
    """Whether a process says that it loaded something compiled, and not that it compiled."""
    return any(line in text for line in LOADED) and COMPILED_GRAPH not in text


def _longest(pattern: re.Pattern[str], said: Mapping[str, tuple[str, str]]) -> float | None:
    """Return the seconds that processes name, of the one with most: they work at the same time."""
    found = [[float(seconds) for seconds in pattern.findall(text)] for _, text in said.values()]
    return round(max(sum(own) for own in found), 2) if any(found) else None
