"""The whole live self-test: every damage and cheat on the real stack, and what must not be found."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine_specs.spec import Spec
from tasks.comparison import ENGINE
from tasks.hosts import this_host
from tasks.hub import HubAccess
from tasks.judging import RoundPlan, Side
from tasks.judging.gates import Terms
from tasks.runs import Pipeline
from tasks.selftest.controls import (
    holds_one,
    ratio_to_itself,
    requiring_quiet,
    verdict_next_to_a_burner,
)
from tasks.selftest.faults import (
    BURNING_CORE,
    ENGINE_ITSELF,
    PLANTED,
    UNDAMAGED,
    VLLM_ITSELF,
    Planted,
    Served,
    Texts,
)
from tasks.selftest.made import Made, make_engine
from tasks.selftest.questions import protocol_of
from tasks.selftest.results import Control, LiveSelfTest, Row
from tasks.selftest.stack import Stack, stack_up
from tasks.selftest.trial import Questions, Trial, try_planted
from tasks.stages import texts_in

REPEATS = 2
SEED = 20_261_128
AGAIN = "again"
HOST_BUSY_ROW = "host-busy"
# Pairs of an A/A run: enough for a first look, at which a wrong interval would exclude 1.
SELF_ROUNDS = {"first_pairs": 8, "resolution": 500.0}


def run_live(
    pipeline: Pipeline, spec: Spec, access: HubAccess, *, only: Collection[str] = (), repeats: int = REPEATS
) -> LiveSelfTest:
    """Bring up the stack of a spec's first variant, and plant everything, or `only` some of it.

    Raises:
        tasks.errors.TaskError: a toolchain or the Hub is unavailable, or a server did not become ready.
    """
    began_at, host = datetime.now(UTC), this_host()
    made = make_engine(pipeline, spec, access)
    with stack_up(pipeline, made) as stack:
        run = _Run(pipeline, made, stack, repeats)
        rows = tuple(run.row(one) for one in PLANTED if not only or one.name in only)
        controls = tuple(ask(run) for name, ask in ASK.items() if not only or name in only)
    return LiveSelfTest(
        began_at=began_at,
        host=f"{host.cpu_model}, {host.cores} cores",
        repeats=repeats,
        rows=rows,
        controls=controls,
    )


@dataclass(slots=True)
class _Run:
    """One run on a stack that is up."""

    pipeline: Pipeline
    made: Made
    stack: Stack
    repeats: int
    questions: dict[tuple[Texts, int], Questions] = field(default_factory=dict)
    texts: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.texts = texts_in(self.pipeline.store, self.made.heldout)

    def row(self, planted: Planted) -> Row:
        """Plant one entry, several times."""
        return Row(
            name=planted.name,
            does=planted.does,
            expected=planted.expected,
            gates=planted.gates,
            note=planted.note,
            trials=tuple(self._trial(planted, seed) for seed in self.seeds(planted.texts)),
        )

    def seeds(self, texts: Texts) -> Iterator[int]:
        """Yield the seeds of an entry's trials; all texts take long, and their seeds change little."""
        return iter(range(SEED, SEED + (1 if texts == "all" else self.repeats)))

    def _trial(self, planted: Planted, seed: int) -> Trial:
        served, reference = self.stack.side(planted.served), self.stack.side("vllm")
        engine = named(served, ENGINE)
        protocol = protocol_of(self.pipeline, self.made, (engine, reference), planted.texts, seed)
        self.stack.plant(planted, spared=protocol.accuracy.streamed_texts)
        trial = try_planted(
            planted,
            self.stack.placed({ENGINE: served, reference.name: reference}),
            self.texts,
            protocol,
            questions=self.questions.setdefault((planted.texts, seed), Questions()),
            say=ignore,
        )
        by = f" by {' and '.join(trial.gates)}" if trial.gates else ""
        self.pipeline.say(f"{planted.name}: {trial.outcome}{by}: {trial.reason}")
        return trial

    def against_itself(self, name: str, of: Served) -> Control:
        """Compare a server with itself, several times."""
        served, reference = self.stack.side(of), self.stack.side("vllm")
        pair = (named(served, ENGINE), named(served, AGAIN))
        self.stack.plant(UNDAMAGED, spared=0)
        placement = self.stack.placed({ENGINE: served, AGAIN: served, reference.name: reference})
        found = []
        for seed in self.seeds("few"):
            base = protocol_of(self.pipeline, self.made, (pair[0], reference), "few", seed)
            load = base.workload.model_copy(
                update={"prompts": "random-ids", "concurrency": (2,), "output_tokens": 32}
            )
            speed = base.speed.model_copy(update=SELF_ROUNDS)
            protocol = base.model_copy(update={"workload": load, "speed": speed, "rounds": RoundPlan()})
            found.append(ratio_to_itself(placement, pair, protocol, say=ignore))
            self.pipeline.say(f"{name}: {found[-1].text()}")
        return Control(
            name=name,
            does="the interval of the ratio has to hold 1",
            came_out=tuple(one.text() for one in found),
            held=sum(holds_one(one) for one in found),
        )

    def next_to_a_burner(self) -> Control:
        """Measure the undamaged engine while another process keeps a core busy."""
        engine, reference = self.stack.side("engine"), self.stack.side("vllm")
        protocol = protocol_of(self.pipeline, self.made, (engine, reference), "many", SEED)
        terms = Terms(
            prices=self.made.spec.economics.at(self.made.variant.target.name),
            compile_mode=self.made.spec.compile,
            build_device_hours=0.0,
        )
        self.stack.plant(UNDAMAGED, spared=0)
        with requiring_quiet() as observer:
            row, is_named = verdict_next_to_a_burner(
                self.stack.placed({ENGINE: engine, reference.name: reference}, observer),
                self.texts,
                protocol,
                terms,
                questions=self.questions.setdefault(("many", SEED), Questions()),
                say=ignore,
            )
        came_out = f"{row}, which {'names' if is_named else 'does not name'} the process"
        self.pipeline.say(f"{BURNING_CORE}: {came_out}")
        return Control(
            name=BURNING_CORE,
            does="a process of somebody else keeps a core busy: the verdict has to say so, and by whom",
            came_out=(came_out,),
            held=row == HOST_BUSY_ROW and is_named,
        )


ASK: dict[str, Callable[[_Run], Control]] = {
    ENGINE_ITSELF: lambda run: run.against_itself(ENGINE_ITSELF, "engine"),
    VLLM_ITSELF: lambda run: run.against_itself(VLLM_ITSELF, "vllm"),
    BURNING_CORE: lambda run: run.next_to_a_burner(),
}


def named(side: Side, name: str) -> Side:
    """Return a side under the name that it has in a comparison."""
    return side.model_copy(update={"name": name})


def ignore(_line: str) -> None:
    """Take a line of progress of a trial, of which the self-test only reports the outcome."""
