"""Assigns sequences to rows: requests enter and leave between iterations, without making others wait.

Invariants:
- Active sequences occupy the rows 0..n-1 without gaps: when one ends, the last one moves into its row.
- Waiting requests are read in the order of their arrival, as many at once as `max_num_tokens` allows.
- Only the thread of `Batcher.run` uses the engine. Others only append to the queue and read what comes out.
- An error in an iteration ends the sequences in it, with the reason; the server continues.
- A sequence whose client left, or whose text is complete, gives its row back before the next iteration.
"""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tasks.workers.completions_server.batching.metrics import Metrics
from tasks.workers.completions_server.engine import Draw, Engine, Step, TokenScore
from tasks.workers.completions_server.protocol.records import Generation


class Event(NamedTuple):
    """One generated token of a choice, by its index in the request; `finish` is set on the last."""

    choice: int
    token: int
    score: TokenScore | None
    finish: Literal["stop", "length"] | None


@dataclass(frozen=True)
class Failed:
    """The sequence ended without an answer."""

    reason: str


Events = queue.SimpleQueue[Event | Failed]


@dataclass(eq=False)
class Sequence:
    """One sequence in progress. Any thread may call `leave`; the rest belongs to the batcher.

    Attributes:
        generation: what was asked for.
        events: where its tokens go; sequences of one request share it.
        index: of the sequence in its request.
        draw: how its tokens are chosen; None: the likeliest ones.
        generated: number of tokens so far.
        token: the last one.
        finish: why it ended.
        left: why nobody waits for its tokens any more: the client is gone, or a stop string came.
        arrived_s, token_s: perf_counter() at the request and at the last token.
    """

    generation: Generation
    events: Events
    index: int
    draw: Draw | None
    generated: int = 0
    token: int = 0
    finish: Literal["stop", "length"] | None = None
    left: Literal["stop", "abort"] | None = None
    arrived_s: float = field(default_factory=time.perf_counter)
    token_s: float = 0.0

    @property
    def position(self) -> int:
        """The position of the last generated token once it is fed back."""
        return len(self.generation.prompt) + self.generated - 1

    def leave(self, reason: Literal["stop", "abort"]) -> None:
        """Give the row back; without effect if the sequence is over."""
        self.left = self.left or reason


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

    def in_words(self, waits: str = "") -> str:
        """Return a sentence; `waits` says for how much of the steps' time the engine waited."""
        steps = f"{self.decode_s:.1f} s on {_count(self.steps, 'step')} for {_count(self.rows, 'token')}"
        waited = f" ({waits})" if waits else ""
        prompts = f"{self.prefill_s:.1f} s on reading {_count(self.prompts, 'prompt')}"
        return f"The engine took {steps}{waited} and {prompts}; there was work for {self.busy_s:.1f} s."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class Batcher:
    """Feeds the engine from a queue."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.metrics = Metrics()
        self._eos = engine.eos_token_ids
        self._waiting: list[Sequence] = []
        self._active: list[Sequence] = []
        self._changed = threading.Condition()
        self._stopping = False
        self.iterations = Iterations()

    def submit(self, *generations: Generation) -> list[Sequence]:
        """Queue what a request asks for; the tokens of all its sequences appear in their common `events`."""
        events: Events = queue.SimpleQueue()
        sequences = [
            Sequence(generation, events, index, self._draw(generation))
            for index, generation in enumerate(generations)
        ]
        with self._changed:
            self._waiting += sequences
            self._changed.notify()
        return sequences

    def _draw(self, generation: Generation) -> Draw | None:
        if generation.sampling.takes_the_likeliest:
            return None
        return Draw(generation.sampling, generation.prompt, self._eos | generation.stop_token_ids)

    def load(self) -> tuple[int, int]:
        """The number of sequences in rows, and of those that wait for one."""
        return len(self._active), len(self._waiting)

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
            step = self._engine.prefill(first, [sequence.generation.prompt for sequence in group])
            self.iterations.prefill_s += time.perf_counter() - started
            self.iterations.prompts += len(group)
            self._hand_out(step, group)
        self._drop_finished()

    def _next_groups(self) -> Iterator[list[Sequence]]:
        limits = self._engine.limits
        while True:
            with self._changed:
                free = limits.max_batch_size - len(self._active)
                self._waiting = [sequence for sequence in self._waiting if not self._is_over(sequence)]
                lengths = [len(sequence.generation.prompt) for sequence in self._waiting]
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
        tokens, now = _choose(step, rows), time.perf_counter()
        for index, (sequence, token) in enumerate(zip(rows, tokens, strict=True)):
            sequence.token = token
            sequence.generated += 1
            sequence.finish = self._finish(sequence)
            wanted = sequence.generation.logprobs
            score = None if wanted is None else step.score(index, token, wanted)
            sequence.events.put(Event(sequence.index, token, score, sequence.finish))
            self._measure(sequence, now)

    def _measure(self, sequence: Sequence, now: float) -> None:
        if sequence.generated == 1:
            self.metrics.began(len(sequence.generation.prompt), now - sequence.arrived_s)
        else:
            self.metrics.continued(now - sequence.token_s)
        sequence.token_s = now

    def _finish(self, sequence: Sequence) -> Literal["stop", "length"] | None:
        asked = sequence.generation
        ended = sequence.token in self._eos and not asked.ignore_eos
        if ended or sequence.token in asked.stop_token_ids:
            return "stop"
        return "length" if sequence.generated >= asked.max_tokens else None

    def _is_over(self, sequence: Sequence) -> bool:
        """Whether a sequence needs no row any more; counts it if so."""
        reason = sequence.finish or sequence.left
        if reason is not None:
            self.metrics.ended(reason, time.perf_counter() - sequence.arrived_s)
        return reason is not None

    def _drop_finished(self) -> None:
        for row in reversed(range(len(self._active))):
            if not self._is_over(self._active[row]):
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
            self.metrics.ended("error", time.perf_counter() - sequence.arrived_s)
            sequence.events.put(Failed(reason))


def _choose(step: Step, rows: list[Sequence]) -> list[int]:
    """The next token of each row: the iteration's own, except for rows that draw."""
    tokens = list(step.tokens)
    drawing = [(row, sequence.draw) for row, sequence in enumerate(rows) if sequence.draw is not None]
    if not drawing:
        return tokens
    chosen = step.choose([row for row, _ in drawing], [draw for _, draw in drawing])
    for (row, draw), token in zip(drawing, chosen, strict=True):
        tokens[row] = token
        draw.generated.append(token)
    return tokens


def group_size(lengths: list[int], free_rows: int, max_num_tokens: int) -> int:
    """How many of the first waiting prompts to read at once: padded to the longest, within the budget."""
    longest, count = 0, 0
    for length in lengths[:free_rows]:
        longest = max(longest, length)
        if count and longest * (count + 1) > max_num_tokens:
            break
        count += 1
    return count
