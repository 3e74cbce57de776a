"""The check itself: vLLM against itself, then every variant from the Hub to generated text.

Invariants:
- Every variant has a spec and a release of its own: one that fails takes nothing from the others.
- What is measured goes through the same flow as any build; nothing here measures in a way of its own, except
  vLLM against itself, which asks by the same rounds.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from artifacts.hosts import probe_host, refuse_host, refuse_unservable
from artifacts.releases import installed_variant, pull_release, read_install
from artifacts.settings import Settings, load_settings
from artifacts.store import Store, open_store
from engine_specs.preflight import examine
from engine_specs.spec import load_spec, resolve_variants
from engine_specs.tables import load_targets
from flows.cli.console import say
from flows.demo.proof import complete
from flows.gpu_check.checkpoint import TrainedCheckpoint
from flows.gpu_check.choice import Chosen, HostChoice
from flows.gpu_check.figures import build_starts, limits_of, measured_of, weight_bytes
from flows.gpu_check.result import Pulled, SelfComparison, ToolchainSummary, VariantResult
from flows.gpu_check.self_comparison import compare_with_itself
from flows.gpu_check.specs import VARIANT, CheckTerms, check_text, spec_name
from flows.gpu_check.steps import Steps
from flows.gpu_check.variants import CheckVariant, vllm_itself
from tasks.hosts import GpuNeed, gpus_for
from tasks.runs import Pipeline
from tasks.toolchains import ensure, serving

if TYPE_CHECKING:
    from flows.prefect_run import BuildSummary

PLACEMENT = "ENGINERY_PLACEMENT"
REPORT_FILE = "report.json"
QUANTIZE, BUILD = "quantize", "build"
ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class Found:
    """What the check has found so far.

    Attributes:
        steps: the steps so far.
        checkpoint: what was trained.
        toolchains: what takes part.
        comparisons: vLLM against itself, per placement.
        variants: what was built and judged.
    """

    steps: Steps
    checkpoint: TrainedCheckpoint | None = None
    toolchains: list[ToolchainSummary] = field(default_factory=list)
    comparisons: list[SelfComparison] = field(default_factory=list)
    variants: list[VariantResult] = field(default_factory=list)


class Check:
    """A check on a host where something can run, in the demo's environment.

    Args:
        settings: resolved settings.
        choice: what can run.
        checkpoint: what is compiled.
        terms: what the user decides of every spec.
        found: takes what is found.
        on_change: is called after every step, so that an interrupted check has its page, too.
    """

    def __init__(
        self,
        settings: Settings,
        choice: HostChoice,
        checkpoint: TrainedCheckpoint,
        terms: CheckTerms,
        found: Found,
        on_change: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._choice = choice
        self._target = load_targets()[choice.target]
        self._checkpoint = checkpoint
        self._terms = terms
        self._found = found
        self._on_change = on_change

    def run(self, itself: Sequence[str]) -> None:
        """Compare vLLM with itself in each of these placements, then take every variant through the flow."""
        self._toolchains()
        for placement in itself if self._choice.runnable else ():
            self._compare(placement)
        for chosen in self._choice.variants:
            self._found.variants.append(self._variant(chosen))
            self._on_change()

    def _toolchains(self) -> None:
        for name in self._choice.toolchains:
            toolchain = self._step(f"toolchain {name}", partial(ensure, name, self._settings, say))
            if toolchain is not None:
                self._found.toolchains.append(ToolchainSummary.of(toolchain))

    def _compare(self, placement: str) -> None:
        spec = load_spec(str(self._spec_file(vllm_itself(placement))))

        def compare() -> SelfComparison:
            with placed(placement):
                settings = load_settings()
                store = open_store(settings)
                store.ensure_bucket()
                return compare_with_itself(Pipeline(settings, store, say=say), spec, placement)

        compared = self._step(f"vLLM against itself, {placement or 'placed automatically'}", compare)
        if compared is not None:
            self._found.comparisons.append(compared)
            self._on_change()

    def _variant(self, chosen: Chosen) -> VariantResult:
        name = chosen.variant.name
        if chosen.obstacles:
            self._found.steps.leave_out(name, "; ".join(chosen.obstacles))
            return VariantResult(name=name, obstacles=chosen.obstacles)
        summary = self._step(f"build {name}", lambda: self._build(chosen))
        if summary is None:
            return VariantResult(name=name, obstacles=(self._found.steps.records[-1].detail,))
        result = self._step(f"figures of {name}", lambda: self._figures(chosen, summary))
        result = result or VariantResult(name=name)
        if summary.version is None:
            self._found.steps.leave_out(f"pull {name}", summary.publication)
            return result
        pulled = self._step(f"pull {name}, serve and generate", lambda: self._pull(chosen, summary))
        return result.model_copy(update={"pulled": pulled})

    def _build(self, chosen: Chosen) -> "BuildSummary":
        # Here, as Prefect reads its settings when it is imported: then they lead to the local stack.
        from flows.build import build

        with placed(chosen.variant.placement):
            summary: BuildSummary = build(str(self._spec_file(chosen.variant)))
        return summary

    def _figures(self, chosen: Chosen, summary: "BuildSummary") -> VariantResult:
        store = open_store(self._settings)
        (judged,) = summary.variants
        stages = {stage.stage: stage for stage in summary.stages if stage.variant == VARIANT}
        source = stages.get(QUANTIZE)
        metrics = stages[BUILD].metrics if BUILD in stages else {}
        engine_bytes = _weights_in(store, source.tree) if source else self._checkpoint.weight_bytes
        return VariantResult(
            name=chosen.variant.name,
            verdict=judged.verdict,
            row=judged.row,
            reasons=judged.reasons,
            speedup=judged.speedup,
            measured=measured_of(store.read_json(judged.report, REPORT_FILE)) if judged.report else None,
            limits=limits_of(
                self._target, engine_bytes, self._checkpoint.weight_bytes, chosen.variant.tensor_parallel
            ),
            estimated_bytes=self._estimate(chosen),
            stages={f"{step.stage} {step.variant}": step.duration_s for step in summary.steps},
            build_metrics=metrics,
            build_starts=build_starts(metrics),
            warmth=metrics.get("warmth", {}).get("reason", ""),
        )

    def _estimate(self, chosen: Chosen) -> int | None:
        spec, metadata = load_spec(str(self._spec_file(chosen.variant))), self._checkpoint.metadata
        (variant,) = resolve_variants(spec)
        memory = examine(spec, variant, metadata.config, metadata.file_bytes).memory
        return memory.total_bytes if memory else None

    def _pull(self, chosen: Chosen, summary: "BuildSummary") -> Pulled:
        """Install the release in an empty directory and serve it as `enginery serve` does."""
        root = self._settings.home / "gpu-check" / "pulled" / chosen.variant.slug
        shutil.rmtree(root, ignore_errors=True)
        release = f"{summary.spec}@{summary.version}"
        pulled = pull_release(open_store(self._settings), release, root, VARIANT)
        serve, requires = read_install(pulled.directory).serve, installed_variant(pulled.directory).requires
        facts = probe_host()
        refuse_host(requires, facts, release)
        toolchain = ensure(serve.toolchain, self._settings, say)
        refuse_unservable(pulled.directory, facts, toolchain.versions)
        log = self._settings.home / "logs" / f"{summary.spec}-pulled.log"
        need = GpuNeed(requires.gpu_count, requires.gpu_names)
        with (
            gpus_for(toolchain, need, self._settings, say) as held,
            serving(
                toolchain,
                serve,
                pulled.directory,
                log=log,
                on_line=_ignore,
                ready_limit_s=self._settings.server_ready_limit_s,
                extra_env=held.env,
                gpus=held.uuids,
                keep_fds=held.descriptors,
            ) as server,
        ):
            generated = complete(server, serve)
        return Pulled(release=release, ready_s=server.ready_s, text=generated.text, tokens=generated.tokens)

    def _spec_file(self, variant: CheckVariant) -> Path:
        text = check_text(variant, self._target, self._checkpoint.commit, self._terms)
        path = self._settings.home / "gpu-check" / "specs" / f"{spec_name(variant)}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def _step(self, name: str, work: Callable[[], ResultT]) -> ResultT | None:
        result = self._found.steps.run(name, work)
        self._on_change()
        return result


@contextmanager
def placed(placement: str) -> Iterator[None]:
    """Force a placement of sides while the context lasts; an empty name forces none."""
    before = os.environ.get(PLACEMENT)
    if placement:
        os.environ[PLACEMENT] = placement
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(PLACEMENT, None)
        else:
            os.environ[PLACEMENT] = before


def _weights_in(store: Store, tree: str) -> int:
    return weight_bytes([(file.path, file.size) for file in store.get_listing(tree).files])


def _ignore(line: str) -> None:
    """Keep the server's output off the terminal; the log has it."""
    del line
