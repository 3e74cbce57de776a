"""Run the check: `python -m flows.gpu_check [DIRECTORY]`, which writes a page to DIRECTORY or docs/results.

A host with a GPU gets its page even if no kind can run: the page then says why.
Exit codes: 0 every kind that can run here has a verdict; 1 one of them failed; 4 no kind can run here.
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
    """Check the host, run what can run, write the page and print its path; return the exit code."""
    settings, facts = load_settings(), probe_host()
    checkpoint = prepare(settings.home / "gpu-check" / "hub")
    choice = choose(facts, lambda name: planned_identity(name, settings), checkpoint)
    say_choice(choice)
    outcomes = _run_all(choice, settings, checkpoint) if choice.runnable else ()
    if choice.kinds:
        emit(str(_write(facts, choice, outcomes, Path(arguments[0]) if arguments else RESULTS)))
    if not outcomes:
        say("no GPU engine can be built and measured on this host")
        return NOTHING_RUNS
    return FAILED if any(outcome.failure for outcome in outcomes) else DONE


def say_choice(choice: HostChoice) -> None:
    """Print what was found, and what keeps each kind from running."""
    say(f"GPUs: {choice.gpus}")
    if choice.obstacle:
        say(f"nothing can run: {choice.obstacle}")
    for kind in choice.kinds:
        say(f"{kind.kind} on {kind.target}: {'cannot run' if kind.obstacles else 'will run'}")
        for obstacle in kind.obstacles:
            say(f"  {obstacle}")


def _run_all(
    choice: HostChoice, settings: Settings, checkpoint: CheckpointForCheck
) -> tuple[KindOutcome, ...]:
    """Run every kind that can run, one after the other, in the demo's environment with the check's Hub."""
    from flows.demo.environment import demo_hub, enter
    from flows.stack.lifecycle import up

    up(settings, say)
    with demo_hub(checkpoint.hub) as hub_url:
        enter(settings, hub_url)
        return tuple(_run(kind, settings, checkpoint.commit) for kind in choice.runnable)


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
