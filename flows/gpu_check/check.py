"""One check, from its options to its page.

Invariants:
- The page is written again after every step: a check that is interrupted has one, too.
- A stack that the check started is stopped at its end, whatever happened; one that was running stays.
"""

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path

from artifacts.hosts import GpusFound, HostFacts, gpus_in_words, probe_gpus, probe_host
from artifacts.settings import Settings, load_settings
from engine_specs.tables import Target
from flows.cli.console import emit, say
from flows.errors import BadArgument
from flows.gpu_check.checkpoint import (
    TRAINERS,
    TrainedCheckpoint,
    TrainingRequest,
    trained_checkpoint,
    training_bytes,
)
from flows.gpu_check.choice import HostChoice, choose, host_target
from flows.gpu_check.options import Options
from flows.gpu_check.page import page, page_name
from flows.gpu_check.result import CheckpointSummary, CheckResult, HostSummary
from flows.gpu_check.run import Check, Found
from flows.gpu_check.sizes import LARGEST, SMALLEST, ModelSize, size_near
from flows.gpu_check.steps import Steps
from tasks.hosts import this_host, visible_gpus
from tasks.toolchains import NotInstalled, planned_identity

DONE, FAILED, NOTHING_RUNS = 0, 1, 4
GB = 1e9
# Sizes that are proposed instead of one that is too large: whole tenths of a billion parameters.
PROPOSED = range(10**8, LARGEST, 10**8)


def run_check(options: Options, command: str) -> int:
    """Run the check, write the page and print its path; return the exit code.

    Raises:
        BadArgument: an option is invalid, or this GPU cannot train a checkpoint of that size.
    """
    settings, facts = load_settings(), visible_host(probe_host(), os.environ)
    options.require_valid()
    target = host_target(facts, options.accelerator)
    if isinstance(target, str):
        say(f"GPUs: {gpus_in_words(facts)}")
        say(f"nothing can run: {target}")
        return NOTHING_RUNS
    _require_memory(options.dimensions, target)
    report = Report(options, command, settings, facts, target)
    code = _check(options, settings, facts, target, report)
    if not options.train_only:
        emit(str(report.write()))
    return code


def visible_host(facts: HostFacts, environ: Mapping[str, str]) -> HostFacts:
    """Return the facts of a host with only the GPUs that CUDA_VISIBLE_DEVICES allows: no others take part."""
    return facts.model_copy(update={"gpus": visible_gpus(facts.gpus, environ)})


class Report:
    """The page and its JSON, written again whenever something was found.

    Args:
        options: of the check.
        command: the command that runs it.
        settings: resolved settings.
        facts: what the host has.
        target: the target that it is.
    """

    def __init__(
        self, options: Options, command: str, settings: Settings, facts: HostFacts, target: Target
    ) -> None:
        self.found = Found(Steps(say, options.allowed_minutes))
        self._options = options
        self._command = command
        self._directory = options.directory(settings)
        self._host = _host_summary(facts, target)
        self._day = dt.datetime.now(dt.UTC).date()

    def write(self) -> Path:
        """Write both; return the path of the page."""
        result = self._result()
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{page_name(result)}.md"
        path.with_suffix(".json").write_text(f"{result.model_dump_json(indent=1)}\n", encoding="utf-8")
        path.write_text(page(result), encoding="utf-8")
        return path

    def _result(self) -> CheckResult:
        found, trained = self.found, self.found.checkpoint
        checkpoint = trained and CheckpointSummary(
            asked=self._options.size,
            weight_bytes=trained.weight_bytes,
            commit=trained.commit,
            figures=trained.figures,
            reused=trained.reused,
        )
        return CheckResult(
            day=self._day,
            rehearsal=self._options.cpu,
            command=self._command,
            host=self._host,
            checkpoint=checkpoint,
            toolchains=tuple(found.toolchains),
            steps=tuple(found.steps.records),
            comparisons=tuple(found.comparisons),
            variants=tuple(found.variants),
        )


def _check(options: Options, settings: Settings, facts: HostFacts, target: Target, report: Report) -> int:
    """Train, choose, and run what can run; return the exit code."""
    steps, trainer = report.found.steps, TRAINERS[options.accelerator]
    if isinstance(lacks := planned_identity(trainer, settings), NotInstalled):
        steps.leave_out(f"train {options.size}", f"toolchain {trainer}: {lacks.reason} (fix: {lacks.fix})")
        return NOTHING_RUNS
    request = TrainingRequest(
        size=options.dimensions,
        minutes=options.minutes,
        accelerator=options.accelerator,
        stdlib=options.stdlib,
    )
    trained = steps.run(f"train {options.size}", lambda: trained_checkpoint(request, settings, say))
    if trained is None or options.train_only:
        return FAILED if trained is None else DONE
    report.found.checkpoint = trained
    choice = choose(
        facts,
        target,
        lambda name: planned_identity(name, settings),
        trained,
        options.variants,
        options.terms,
    )
    say_choice(choice)
    check = Check(settings, choice, trained, options.terms, report.found, report.write)
    if not choice.runnable:
        check.run(())
        return NOTHING_RUNS
    _in_the_stack(check, trained, options, settings, steps)
    return FAILED if steps.failed else DONE


def _in_the_stack(
    check: Check, trained: TrainedCheckpoint, options: Options, settings: Settings, steps: Steps
) -> None:
    """Run a check with the local stack and a small Hub that serves the checkpoint."""
    from flows.demo.environment import demo_hub, enter
    from flows.stack.environment import stack_environment
    from flows.stack.lifecycle import up

    keep = options.keep_stack or bool(stack_environment(settings))
    if steps.run("start the local stack", lambda: up(settings, say)) is None:
        return
    try:
        with demo_hub(trained.hub) as hub_url:
            enter(settings, hub_url)
            check.run(options.placements)
    finally:
        if not keep:
            steps.run("stop the local stack", lambda: _stop(settings), always=True)


def _stop(settings: Settings) -> int:
    """Stop the local stack once it has what this process holds for it; return the number of processes."""
    # Here, as Prefect reads its settings when it is imported: then they lead to the local stack.
    from flows.prefect_run import deliver
    from flows.stack.lifecycle import down

    deliver()
    return down(settings, say)


def say_choice(choice: HostChoice) -> None:
    """Print what was found, and what keeps each variant from running."""
    say(f"GPUs: {choice.gpus}; target: {choice.target}")
    for one in choice.variants:
        say(f"{one.variant.name}: {'cannot run' if one.obstacles else 'will run'}")
        for obstacle in one.obstacles:
            say(f"  {obstacle}")


def _host_summary(facts: HostFacts, target: Target) -> HostSummary:
    found, here = probe_gpus(), this_host()
    driver = f", driver {facts.driver}" if facts.driver else ""
    return HostSummary(
        gpus=f"{gpus_in_words(facts)}{driver}",
        cuda=found.cuda if isinstance(found, GpusFound) else None,
        processor=here.cpu_model,
        cores=here.cores,
        memory_gib=here.memory_gib,
        target=target.name,
    )


def _require_memory(size: ModelSize, target: Target) -> None:
    """Raise BadArgument if the target's memory is too small to train a checkpoint of this size."""
    needed, has_bytes = training_bytes(size), target.memory_bytes
    if has_bytes is None or needed <= has_bytes:
        return
    smaller = [number for number in PROPOSED if training_bytes(size_near(number)) <= has_bytes]
    raise BadArgument(
        f"to train {size.parameters / 1e9:.2f} B parameters takes {needed / GB:.0f} GB, and one "
        f"{target.name} has {has_bytes / GB:.0f} GB",
        fix=f"--size {max(smaller, default=SMALLEST) / 1e9:g}B, or smaller",
    )
