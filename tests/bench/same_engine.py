"""vLLM against itself: one server under two names, by the rounds that a verdict is made of.

An interval without 1 here means that order, client or host favours a side: then no ratio of this host is
worth anything.
"""

import json
from pathlib import Path

from artifacts.settings import Settings
from engine_specs.spec import load_spec, resolve_variants
from flows.demo.hub_repo import DEMO_HUB
from tasks.comparison import judging_protocol
from tasks.judging import (
    Endpoint,
    JudgingProtocol,
    NotMeasured,
    PlacementChoice,
    Resident,
    Side,
    vocabulary_of,
)
from tasks.judging.measure import measure_speed
from tasks.judging.statistics import point_ratio
from tasks.kinds import vllm_serve_command
from tasks.stages.fetch import TOKENIZER_FILE
from tasks.toolchains import ensure, serving
from tests.bench.main_job import DEMO

CHECKPOINT = DEMO_HUB / "enginery" / "demo-llama"
DIGITS = "0" * 64  # nothing is looked up by these digests


def report(root: Path) -> None:
    """Print the ratio at each concurrency, and whether it is that of equals."""
    root.mkdir(parents=True)
    protocol = _protocol()
    serve = protocol.engine.serve
    toolchain = ensure(serve.toolchain, Settings(), say=print)
    print("== vLLM against itself, ratio with its interval")
    log = root / "server.log"
    with serving(
        toolchain, serve, CHECKPOINT, log=log, on_line=lambda _line: None, ready_limit_s=300
    ) as server:
        sides = (protocol.engine, *protocol.references)
        one, other = (Endpoint(base_url=server.base_url, side=side) for side in sides)
        placement = Resident([one, other], PlacementChoice(name="together", reason="one server"))
        measured = measure_speed(
            placement, one.side, [other.side], protocol, text=None, say=lambda _line: None
        )
    if isinstance(measured, NotMeasured):
        print(f"nothing was timed: {measured.reason}")
        return
    for point in measured.points:
        ratio = point_ratio(point, protocol.speed)
        alike = ratio.interval.lower <= 1 <= ratio.interval.upper
        found = "holds 1" if alike else "does not hold 1: order, client or host favours one side"
        print(f"{point.concurrency} in flight: {ratio.metric} {ratio.interval.text()}, which {found}")


def _protocol() -> JudgingProtocol:
    spec = load_spec(str(DEMO))
    random_ids = spec.workload.model_copy(update={"prompts": "random-ids"})  # no texts are fetched
    (variant,) = resolve_variants(spec)
    serve = vllm_serve_command({}, variant)
    sides = [Side(name=name, serve=serve, tree=DIGITS) for name in ("vllm", "vllm again")]
    return judging_protocol(
        spec.model_copy(update={"workload": random_ids}),
        variant,
        engine=sides[0],
        references=(sides[1],),
        vocabulary=vocabulary_of(json.loads((CHECKPOINT / TOKENIZER_FILE).read_text(encoding="utf-8"))),
        end_tokens=(),  # nothing but speed is measured, and no timed request ends by itself
        text_sha256=DIGITS,
    )
