"""Assigns sequences to rows: requests enter and leave between iterations, without making others wait.

Invariants:
- Active sequences occupy the rows 0..n-1 without gaps: when one ends, the last one moves into its row.
- Waiting requests are read in the order of their arrival, as many at once as `max_num_tokens` allows.
- Only the thread of `Batcher.run` uses the engine. Others only append to the queue and read what comes out.
- An error in an iteration ends the sequences in it, with the reason; the server continues.
"""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tasks.workers.completions_server.engine import Engine, Step, TokenScore
from tasks.workers.completions_server.protocol import Completion


@dataclass(frozen=True)
class Event:
    """One generated token; `finish` is set on the last."""

    token: int
    score: TokenScore | None
    finish: Literal["stop", "length"] | None


@dataclass(frozen=True)
class Failed:
    """The sequence ended without an answer."""

    reason: str


@dataclass(eq=False)
class Sequence:
    """One request in progress. Any thread may set `cancelled`; the rest belongs to the batcher."""

    request: Completion
    events: queue.SimpleQueue[Event | Failed] = field(default_factory=queue.SimpleQueue)
    cancelled: bool = False
    generated: int = 0
    token: int = 0

    @property
    def position(self) -> int:
        """The position of the last generated token once it is fed back."""
        return len(self.request.prompt) + self.generated - 1


@dataclass
class Iterations:
    """What iterations have taken since the start: how much of it the engine does not compute shows here.

    Attributes:
        steps: iterations that generated one token per row.
        rows: rows of all these steps.
        prompts: prompts read.
        decode_s: seconds inside the engine for steps.
        prefill_s: seconds inside the engine for prompts.
        busy_s: seconds with work, those inside the engine included.
    """

    steps: int = 0
    rows: int = 0
    prompts: int = 0
    decode_s: float = 0.0
    prefill_s: float = 0.0
    busy_s: float = 0.0


class Batcher:
    """Feeds the engine from a queue."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._eos = engine.eos_token_ids
        self._waiting: list[Sequence] = []
        self._active: list[Sequence] = []
        self._changed = threading.Condition()
        self._stopping = False
        self.iterations = Iterations()

    def submit(self, request: Completion) -> Sequence:
        """Queue a request; its tokens appear in `events`."""
        sequence = Sequence(request)
        with self._changed:
            self._waiting.append(sequence)
            self._changed.notify()
        return sequence

    def stop(self) -> None:
        """Let `run` return after the current iteration; unfinished sequences fail."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Iterate until `stop`."""
        while self._wait_for_work():
            started = time.perf_counter()
            try:
                self._admit()
                self._advance()
            except Exception as error:  # noqa: BLE001  reported to every client concerned
                self._fail_all(f"{type(error).__name__}: {error}")
            self.iterations.busy_s += time.perf_counter() - started
        self._fail_all("the server is shutting down")

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not (self._waiting or self._active or self._stopping):
                self._changed.wait()
            return not self._stopping

    def _admit(self) -> None:
        """Read the prompts of waiting requests into the rows behind the active ones."""
        for group in self._next_groups():
            first = len(self._active)
            self._active.extend(group)
            started = time.perf_counter()
            step = self._engine.prefill(first, [sequence.request.prompt for sequence in group])
            self.iterations.prefill_s += time.perf_counter() - started
            self.iterations.prompts += len(group)
            self._hand_out(step, group)
        self._drop_finished()

    def _next_groups(self) -> Iterator[list[Sequence]]:
        limits = self._engine.limits
        while True:
            with self._changed:
                free = limits.max_batch_size - len(self._active)
                self._waiting = [sequence for sequence in self._waiting if not sequence.cancelled]
                lengths = [len(sequence.request.prompt) for sequence in self._waiting]
                count = group_size(lengths, free, limits.max_num_tokens)
                group, self._waiting = self._waiting[:count], self._waiting[count:]
            if not group:
                return
            yield group

    def _advance(self) -> None:
        """Generate one more token for every active sequence."""
        self._drop_finished()
        if not self._active:
            return
        rows = list(self._active)
        started = time.perf_counter()
        step = self._engine.decode([row.token for row in rows], [row.position for row in rows])
        self.iterations.decode_s += time.perf_counter() - started
        self.iterations.steps += 1
        self.iterations.rows += len(rows)
        self._hand_out(step, rows)
        self._drop_finished()

    def _hand_out(self, step: Step, rows: list[Sequence]) -> None:
        for index, (sequence, token) in enumerate(zip(rows, step.tokens, strict=True)):
            sequence.token = token
            sequence.generated += 1
            wanted = sequence.request.logprobs
            score = None if wanted is None else step.score(index, token, wanted)
            sequence.events.put(Event(token, score, self._finish(sequence)))

    def _finish(self, sequence: Sequence) -> Literal["stop", "length"] | None:
        ended = sequence.token in self._eos and not sequence.request.ignore_eos
        if ended or sequence.token in sequence.request.stop_token_ids:
            return "stop"
        return "length" if sequence.generated >= sequence.request.max_tokens else None

    def _drop_finished(self) -> None:
        for row in reversed(range(len(self._active))):
            sequence = self._active[row]
            if not sequence.cancelled and self._finish(sequence) is None:
                continue
            last = len(self._active) - 1
            if row != last:
                self._engine.move_row(last, row)
                self._active[row] = self._active[last]
            self._active.pop()

    def _fail_all(self, reason: str) -> None:
        with self._changed:
            failed, self._active = self._active, []
            if self._stopping:
                failed, self._waiting = failed + self._waiting, []
        for sequence in failed:
            sequence.events.put(Failed(reason))


def group_size(lengths: list[int], free_rows: int, max_num_tokens: int) -> int:
    """How many of the first waiting prompts to read at once: padded to the longest, within the budget."""
    longest, count = 0, 0
    for length in lengths[:free_rows]:
        longest = max(longest, length)
        if count and longest * (count + 1) > max_num_tokens:
            break
        count += 1
    return count
