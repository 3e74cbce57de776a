"""The flow `nightly`: of all specs, what changed is built and judged; the rest is skipped, with reasons.

A spec none of whose variants this host can build is left to other hosts, before anything is asked of the
store or the Hub. Of one that it can build in part, `build` builds that part.
"""

from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.states import Failed
from pydantic import Field

from artifacts.compat import probe_host
from artifacts.frozen import Frozen
from artifacts.releases import Release, published_versions, read_release
from artifacts.settings import Settings
from artifacts.store import Store, open_store
from engine_specs.load import list_specs, load_spec
from engine_specs.models import Spec
from engine_specs.resolve import resolve_variants
from flows import run_page
from flows.build import SPEC_NAMES, build
from flows.run_errors import UNDERSTOOD
from flows.run_log import RunLog
from flows.summary import DONE
from tasks.buildable import divide_by_host
from tasks.hub_access import HubAccess
from tasks.pipeline import Pipeline
from tasks.plan import SpecPlan, plan_spec

SpecNames = Annotated[list[str] | None, Field(json_schema_extra={"items": {"enum": SPEC_NAMES}})]
FAILED = 1


class NightlyRow(Frozen):
    """What became of one spec."""

    spec: str = Field(description="Name of the spec.")
    outcome: Literal["built", "skipped", "failed"] = Field(description="What was done.")
    reason: str = Field(description="Why, or what came of it.")
    exit_code: int = Field(description="What building it alone would have ended with.")


class NightlySummary(Frozen):
    """What became of all specs."""

    rows: tuple[NightlyRow, ...] = Field(description="One row a spec, by name.")

    @property
    def exit_code(self) -> int:
        """0 where all went well; 1 where one failed; else 3 where one did not convince."""
        codes = {row.exit_code for row in self.rows}
        return FAILED if any(row.outcome == "failed" for row in self.rows) else max(codes, default=DONE)


@flow(name="nightly", persist_result=False)
def nightly(specs: SpecNames = None, force: bool = False) -> NightlySummary | Any:
    """Build what changed among all specs; one that fails does not keep the others from being built.

    Args:
        specs: Names of the specs; leave empty for all of them.
        force: Build every spec again, changed or not.
    """
    run_page.own_run()
    settings = Settings()
    names = specs or [path.stem for path in list_specs(settings.specs_dir)]
    rows = tuple(_one(name, settings, force=force) for name in names)
    create_table_artifact(
        [row.model_dump(mode="json") for row in rows], key="nightly", description="What became of each spec"
    )
    summary = NightlySummary(rows=rows)
    failed = [row.spec for row in rows if row.outcome == "failed"]
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}; the others are done", data=summary)
    return summary


def _one(name: str, settings: Settings, *, force: bool) -> NightlyRow:
    logger = get_run_logger()
    try:
        reason = _reason_to_skip(load_spec(name, settings.specs_dir), settings, force=force)
        if reason is not None:
            logger.info("%s: skipped, %s", name, reason)
            return NightlyRow(spec=name, outcome="skipped", reason=reason, exit_code=DONE)
        summary = build(name, force=force)
    except UNDERSTOOD as error:
        logger.error("%s: %s", name, error)  # noqa: TRY400 (understood: a traceback would say less)
        return NightlyRow(
            spec=name, outcome="failed", reason=f"{error.failure}: {error}", exit_code=error.exit_code
        )
    return NightlyRow(spec=name, outcome="built", reason=summary.publication, exit_code=summary.exit_code)


def _reason_to_skip(spec: Spec, settings: Settings, *, force: bool) -> str | None:
    variants = divide_by_host(resolve_variants(spec), probe_host())
    if not variants.here:
        return variants.left_out
    if force:
        return None
    store = open_store(settings)
    store.ensure_bucket()
    pipeline = Pipeline(settings, store, say=RunLog())
    return unchanged(store, plan_spec(pipeline, spec, HubAccess.from_environment()))


def unchanged(store: Store, plan: SpecPlan) -> str | None:
    """Why a spec need not be built: nothing would run, and its newest release holds just that."""
    if plan.work:
        return None
    newest = _newest(store, plan)
    if newest is None:
        return None
    planned = {stage.fingerprint for stage in plan.stages if stage.stage in {"fetch", "quantize", "build"}}
    released = {one for variant in newest.variants for one in variant.fingerprints.values()}
    if not released <= planned:
        return None
    return f"unchanged: {newest.name}@{newest.version} was made of the same inputs by the same tools"


def _newest(store: Store, plan: SpecPlan) -> Release | None:
    versions = [v for v in published_versions(store, plan.spec) if v.startswith(f"{plan.version}.")]
    return read_release(store, plan.spec, versions[-1]) if versions else None
