"""Run the check: `python -m flows.gpu_check [DIRECTORY]`, with docs/results as the directory of pages.

A host with a GPU gets its page also where no kind can run: it says what keeps each of them.
Exit codes: 0 every kind that this host has came to a verdict; 1 one of them failed; 4 no kind can run here.
"""

import datetime as dt
import sys
from pathlib import Path

from artifacts.errors import EngineryError
from artifacts.hosts import HostFacts, probe_host
from artifacts.settings import Settings, load_settings
from engine_specs.tables import load_kinds, load_targets
from flows.cli.console import emit, say
from flows.cli.main import exit_code_of
from flows.gpu_check.checkpoint import CheckpointForCheck, prepare
from flows.gpu_check.choice import HostChoice, KindChoice, choose
from flows.gpu_check.result import KindOutcome, page, page_name
from flows.gpu_check.specs import check_text
from tasks.toolchains import planned_identity

DONE, FAILED, NOTHING_RUNS = 0, 1, 4
RESULTS = Path("docs/results")


def main(arguments: list[str]) -> int:
    """Look at the host, run what can run, write the page and print its path; returns the exit code."""
    settings, facts = load_settings(), probe_host()
    checkpoint = prepare(settings.home / "gpu-check" / "hub")
    choice = choose(facts, lambda name: planned_identity(name, settings), checkpoint)
    tell(choice)
    outcomes = _run_all(choice, settings, checkpoint) if choice.runnable else ()
    if choice.kinds:
        emit(str(_write(facts, choice, outcomes, Path(arguments[0]) if arguments else RESULTS)))
    if not outcomes:
        say("no GPU engine can be built and measured on this host")
        return NOTHING_RUNS
    return FAILED if any(one.failure for one in outcomes) else DONE


def tell(choice: HostChoice) -> None:
    """Narrate what was found, and what keeps each kind from running."""
    say(f"GPUs: {choice.gpus}")
    if choice.nothing:
        say(f"nothing can run: {choice.nothing}")
    for one in choice.kinds:
        say(f"{one.kind} on {one.target}: {'will run' if not one.lacking else 'cannot run'}")
        for why in one.lacking:
            say(f"  {why}")


def _run_all(
    choice: HostChoice, settings: Settings, checkpoint: CheckpointForCheck
) -> tuple[KindOutcome, ...]:
    """Every kind that can run, one after the other, in the demo's surroundings with the check's Hub."""
    from flows.demo.environment import demo_hub, enter
    from flows.stack.lifecycle import up

    up(settings, say)
    with demo_hub(checkpoint.hub) as hub_url:
        enter(settings, hub_url)
        return tuple(_run(one, settings, checkpoint.commit) for one in choice.runnable)


def _run(choice: KindChoice, settings: Settings, commit: str) -> KindOutcome:
    from flows.build import build

    text = check_text(load_kinds()[choice.kind], load_targets()[choice.target], commit)
    path = settings.home / "gpu-check" / f"{choice.kind}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    try:
        return KindOutcome(kind=choice.kind, summary=build(str(path), publish=False))
    except EngineryError as error:
        say(f"{choice.kind}: {error}")
        return KindOutcome(kind=choice.kind, summary=None, failure=str(error))


def _write(facts: HostFacts, choice: HostChoice, outcomes: tuple[KindOutcome, ...], directory: Path) -> Path:
    day = dt.datetime.now(dt.UTC).date()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / page_name(facts, day)
    path.write_text(page(facts, choice, outcomes, day), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
