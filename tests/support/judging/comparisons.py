"""A whole measurement with real servers: stand-ins as programs of the tests' own interpreter.

As a program, `python -m support.judging.comparisons ROOT PLACEMENT WAIT` measures, for tests that kill it;
WAIT is in seconds per token.
"""

import sys
from pathlib import Path
from typing import Any

from artifacts.hosts import ServeCommand
from artifacts.settings import QuietHost, Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from engine_specs.spec import Arrivals
from support.judging.judgements import protocol, workload
from support.judging.measured_fakes import TEXTS
from support.paths import ROOT, TESTS
from support.stores.directory_bucket import DirectoryBucket
from tasks.comparison import Comparison, measure_sides, serve
from tasks.judging import JudgingProtocol, Measured, PlacementChoice, RoundPlan, Side
from tasks.runs import KeptPhases, Pipeline
from tasks.toolchains import Toolchain

PYTHON = Path(sys.executable)
PER_TOKEN_S = 0.01
HERE = Toolchain(
    name="here",
    root=PYTHON.parents[1],
    python=PYTHON,
    bin_dir=PYTHON.parent,
    identity="0" * 64,
    versions={},
)


def open_pipeline(root: Path, say: Any, quiet_host: QuietHost = "record") -> Pipeline:
    """A pipeline whose store and state are directories below `root`; the tests' interpreter serves.

    Other tests keep the processors busy: by default, the host need not be quiet.
    """
    serve.ensure = lambda *_args, **_switches: HERE  # type: ignore[assignment]
    store = Store(DirectoryBucket(root / "bucket"), BlobCache(root / "cache"))
    store.ensure_bucket()
    settings = Settings(home=root / "home", server_ready_limit_s=60, quiet_host=quiet_host)
    return Pipeline(settings, store, say=say)


def served(store: Store, root: Path, name: str, *more: str, per_token_s: float = PER_TOKEN_S) -> Side:
    """A side that is served by a stand-in."""
    tree = root / f"tree-{name}"
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "name").write_text(name)
    argv = ("{python}", "-m", "support.judging.served_fake", "--host", "{host}", "--port", "{port}")
    command = ServeCommand(
        toolchain="here",
        argv=(*argv, "--per-token-s", str(per_token_s), *more),
        env={"PYTHONPATH": f"{ROOT}:{TESTS}"},
        model="m",
    )
    return Side(name=name, serve=command, tree=store.put_tree(tree).digest)


def asked(engine: Side, *references: Side, **speed: Any) -> JudgingProtocol:
    """A protocol of short rounds over these sides."""
    base = protocol(
        # So rare that the budget allows none: open loop has tests of its own.
        load=workload(concurrency=(2,), operating_point=2, output_tokens=4, arrivals=Arrivals(per_s=0.1)),
        # Coarse, as other tests may keep the processors busy: idle sides may seem to cost this much, too.
        **({"resolution": 0.25, "budget_minutes": 1.0, "first_pairs": 4, "first_block_pairs": 4} | speed),
    )
    rounds = RoundPlan(requests_per_slot=2, min_requests=1, warmup_requests=0, request_limit_s=10)
    return base.model_copy(update={"rounds": rounds, "engine": engine, "references": references})


def measure(
    pipeline: Pipeline, sides: JudgingProtocol, placement: str, kept: KeptPhases | None = None
) -> Measured:
    """Measure sides in a placement."""
    choice = PlacementChoice.model_validate({"name": placement, "reason": "a test says so"})
    kept = kept or KeptPhases.of(pipeline.settings, sides.digest, say=pipeline.say, force=False)
    return measure_sides(pipeline, Comparison(sides, TEXTS, "test", choice, None), kept)


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)


def main(root: Path, placement: str, per_token_s: float) -> None:
    """Measure in a placement, and print what came of it as the last line."""
    pipeline = open_pipeline(root, say)
    engine, vllm = (
        served(pipeline.store, root, name, per_token_s=per_token_s) for name in ("engine", "vllm")
    )
    # Rounds without a wait are so short that a busy host makes their noise as large as themselves.
    made = measure(
        pipeline, asked(engine, vllm, resolution=1e9, first_pairs=3, first_block_pairs=3), placement
    )
    print(made.model_dump_json(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
