"""The flow `nightly`: builds and judges the specs that have changed, and skips the rest with reasons.

A spec is left to other hosts if this one can build none of its variants; neither the store nor the Hub is
then asked about it. If it can build some of them, `build` builds those.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, Failed
from pydantic import Field

from artifacts.errors import EngineryError
from artifacts.frozen import Frozen
from artifacts.hosts import probe_host
from artifacts.releases import Release, published_versions, read_release
from artifacts.settings import Settings, load_settings
from artifacts.store import Snapshot, Store, open_store
from engine_specs.spec import ResolvedVariant, Spec, list_specs, load_spec, resolve_variants
from flows.build import build, spec_choices
from flows.prefect_run import (
    DONE,
    BuildSummary,
    RunLog,
    as_code,
    cancellable,
    cell,
    reference,
    settle_cancelled,
    verdicts,
)
from flows.prefect_run import page as run_page
from tasks.comparison import divide_by_host
from tasks.hub import HubAccess
from tasks.plan import SpecPlan, plan_spec
from tasks.runs import Pipeline
from tasks.stages import SpecGraph, content, gather

SpecNames = Annotated[list[str] | None, Field(json_schema_extra={"items": spec_choices()})]
FAILED = 1


class NightlyRow(Frozen):
    """The outcome of one spec."""

    spec: str = Field(description="Name of the spec.")
    outcome: Literal["built", "skipped", "failed"] = Field(description="What was done.")
    verdict: str = Field(default="", description="The verdicts; empty if nothing was judged.")
    release: str | None = Field(default=None, description="The release; null if nothing was published.")
    reason: str = Field(description="Why it was skipped or failed, or whether it was published.")
    exit_code: int = Field(description="Exit code of a build of this spec alone.")
    run: str | None = Field(default=None, description="Address of its run in the Prefect UI.")
    duration_s: float = Field(default=0.0, description="Seconds that it took.")


class NightlySummary(Frozen):
    """The outcome of all specs."""

    rows: tuple[NightlyRow, ...] = Field(description="One row per spec, by name.")

    @property
    def exit_code(self) -> int:
        """0 if all went well, 1 if a spec failed, otherwise 3 if one has nothing to deploy."""
        codes = {row.exit_code for row in self.rows}
        return FAILED if any(row.outcome == "failed" for row in self.rows) else max(codes, default=DONE)

    @property
    def headline(self) -> str:
        """The outcome in one line, such as `1 built: demo@0.1.0 compile; 2 skipped: one, other`."""
        parts = [
            f"{count}: {', '.join(f'{row.release or row.spec} {row.verdict}'.strip() for row in rows)}"
            for count, rows in self._by_outcome()
        ]
        return "; ".join(parts) or "there are no specs"

    @property
    def run_name(self) -> str:
        """The name of the run in a list of runs, such as `nightly: 1 built, 2 skipped`."""
        return f"nightly: {', '.join(count for count, _ in self._by_outcome()) or 'there are no specs'}"

    @property
    def run_tags(self) -> set[str]:
        """The tags by which a list of runs can be filtered."""
        built = [row for row in self.rows if row.outcome == "built"]
        return {f"spec:{row.spec}" for row in built} | {
            f"release:{row.release}" for row in built if row.release
        }

    def _by_outcome(self) -> Iterator[tuple[str, list[NightlyRow]]]:
        for outcome in ("failed", "built", "skipped"):
            if rows := [row for row in self.rows if row.outcome == outcome]:
                yield f"{len(rows)} {outcome}", rows


@flow(name="nightly", flow_run_name="nightly", persist_result=False, on_crashed=[settle_cancelled])
def nightly(specs: SpecNames = None, force: bool = False) -> NightlySummary | Any:
    """Build the specs that have changed; one that fails does not keep the others from being built.

    Args:
        specs: Names of the specs; leave empty for all of them.
        force: Build every spec again, changed or not.
    """
    run_page.register_process()
    settings = load_settings()
    names = specs or [path.stem for path in list_specs(settings.specs_dir)]
    with cancellable():
        summary = NightlySummary(rows=tuple(_timed_row(name, settings, force=force) for name in names))
    create_table_artifact(
        [table_row(row) for row in summary.rows], key="nightly", description=as_code(summary.headline)
    )
    run_page.name_run(summary.run_name, summary.run_tags)
    failed = any(row.outcome == "failed" for row in summary.rows)
    return (Failed if failed else Completed)(message=summary.headline, data=summary)


def table_row(row: NightlyRow) -> dict[str, str | float]:
    """Return a row as the UI shows it: short enough for its page, with a link to the run."""
    return {
        "spec": f"`{row.spec}`",
        "verdict": row.verdict or row.outcome,
        "release": row.release.rpartition("@")[2] if row.release else "",
        "why": cell(row.reason),
        "run": f"[run]({row.run})" if row.run else "",
        "seconds": row.duration_s,
    }


def _timed_row(name: str, settings: Settings, *, force: bool) -> NightlyRow:
    begin = time.monotonic()
    row = _row(name, settings, force=force)
    return row.model_copy(update={"duration_s": round(time.monotonic() - begin, 1)})


def _row(name: str, settings: Settings, *, force: bool) -> NightlyRow:
    logger = get_run_logger()
    try:
        reason = _reason_to_skip(load_spec(name, settings.specs_dir), settings, force=force)
    except EngineryError as error:
        logger.error("%s: %s", name, error)  # noqa: TRY400 (an expected error, which needs no traceback)
        return _failed(name, error, run=None)
    if reason is not None:
        logger.info("%s: skipped, %s", name, reason)
        return NightlyRow(spec=name, outcome="skipped", reason=reason, exit_code=DONE)
    state = build(name, force=force, return_state=True)
    run = run_page.page_address(state.state_details.flow_run_id)
    result: BuildSummary | Exception = state.result(raise_on_failure=False)
    if isinstance(result, Exception):
        logger.error("%s: failed; its own run says why", name)
        return _failed(name, result, run=run)
    return NightlyRow(
        spec=name,
        outcome="built",
        verdict=verdicts(result),
        release=reference(result),
        reason=result.publication,
        exit_code=result.exit_code,
        run=run,
    )


def _failed(name: str, error: Exception, *, run: str | None) -> NightlyRow:
    if isinstance(error, EngineryError):
        reason, code = f"{error.failure}: {error}", error.exit_code
    else:
        reason, code = f"internal error: {type(error).__name__}: {error}", FAILED
    return NightlyRow(spec=name, outcome="failed", reason=reason, exit_code=code, run=run)


def _reason_to_skip(spec: Spec, settings: Settings, *, force: bool) -> str | None:
    variants = divide_by_host(resolve_variants(spec), probe_host())
    if not variants.here:
        return variants.left_out
    if force:
        return None
    store = open_store(settings)
    store.ensure_bucket()
    pipeline = Pipeline(settings, Snapshot(store), say=RunLog())
    plan = plan_spec(pipeline, spec, HubAccess.from_environment(), resolve_variants(spec))
    return unchanged(store, spec, variants.here, plan)


def unchanged(store: Store, spec: Spec, here: Sequence[ResolvedVariant], plan: SpecPlan) -> str | None:
    """Say why a spec need not be built on this host, or return None if it must be.

    It need not be if no stage would run, and its newest release holds the verdicts and trees that the store
    has.

    Args:
        store: where verdicts and releases are kept.
        spec: the spec; a verdict on another text of it does not count.
        here: the variants that this host builds; whether the others need a build is for their hosts to find.
        plan: the plan of the spec.
    """
    others = tuple(variant for variant in resolve_variants(spec) if variant not in here)
    left_out = {node.variant for nodes in SpecGraph(spec, others).variants for node in nodes}
    commit = plan.checkpoint.commit
    work = {stage.variant for stage in plan.stages if stage.state in {"miss", "unknown"}}
    if commit is None or not work <= left_out:
        return None
    newest = _newest(store, plan)
    if newest is None:
        return None
    released = {entry.name: entry for entry in newest.variants}
    judged = {entry.name: entry for entry in gather(store, spec, commit, ()).entries}
    planned = {stage.fingerprint for stage in plan.stages if stage.stage in {"fetch", "quantize", "build"}}
    for name in (variant.name for variant in here):
        if name not in released or name not in judged or content(released[name]) != content(judged[name]):
            return None
        if not set(released[name].fingerprints.values()) <= planned:
            return None
    return f"unchanged: {newest.name}@{newest.version} was made from the same inputs by the same tools"


def _newest(store: Store, plan: SpecPlan) -> Release | None:
    versions = [v for v in published_versions(store, plan.spec) if v.startswith(f"{plan.version}.")]
    return read_release(store, plan.spec, versions[-1]) if versions else None
