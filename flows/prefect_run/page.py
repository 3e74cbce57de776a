"""What the Prefect UI shows of a build: the name and tags of the run, and its artifacts.

Artifacts are views of what the store holds; nothing reads them back.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Self, cast
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL

from artifacts.store import Store
from engine_specs.spec import Spec
from flows.prefect_run.summary import BuildSummary, StepSummary, headline
from flows.prefect_run.tables import Row, as_code, stage_rows, verdict_page
from tasks.stages import Judged

REPORT_PAGE = "report.html"
PAGE_TYPE = "text/html; charset=utf-8"
LINK_VALID_S = 7 * 24 * 3600


class Progress:
    """The progress bar of one build, counted in stages."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._id = _begin_progress(total)

    def step(self, count: int = 1) -> None:
        """Count stages that are done, or turned out not to be needed."""
        self._done += count
        percent = min(100.0, 100.0 * self._done / self._total)
        update_progress_artifact(
            self._id, progress=percent, description=f"{self._done} of {self._total} stages"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        """Complete the bar, whether or not all stages are done; a killed run's bar stays where it is."""
        if kind is not None and not issubclass(kind, Exception):
            return
        early = self._done < self._total
        description = f"ended after {self._done} of {self._total} stages" if early else "all stages are done"
        # What ended the run counts, not that its page cannot be reached either.
        with contextlib.suppress(Exception) if kind else contextlib.nullcontext():
            update_progress_artifact(self._id, progress=100.0, description=description)


@task(name="progress", task_run_name="progress", cache_policy=NO_CACHE, persist_result=False)
def _begin_progress(total: int) -> UUID:
    """Create the bar, in a task of its own like all artifacts but one: see `show_verdict`."""
    artifact_id = create_progress_artifact(progress=0.0, description=f"0 of {total} stages")
    return cast("UUID", artifact_id)  # Prefect's calls are coroutines only if an event loop is running


def register_process() -> None:
    """Register this process (HOST:PID) as the one that runs the flow, unless a worker has done so already.

    If the process dies, the next `enginery up` finds it gone and closes the run (`flows.stack`).
    """
    run_id = flow_run.get_id()
    if run_id is None:
        return
    with get_client(sync_client=True) as client:
        if client.read_flow_run(UUID(run_id)).infrastructure_pid is None:
            client.update_flow_run(UUID(run_id), infrastructure_pid=f"{socket.gethostname()}:{os.getpid()}")


def name_run(name: str | None, tags: Iterable[str]) -> None:
    """Set this run's name, unless it is None, and add tags, by which lists of runs can be filtered."""
    run_id = flow_run.get_id()
    if run_id is None:
        return
    with get_client(sync_client=True) as client:
        present = client.read_flow_run(UUID(run_id))
        client.update_flow_run(UUID(run_id), name=name or present.name, tags=sorted({*present.tags, *tags}))


def begin_tags(spec: Spec, commit: str, targets: Iterable[str]) -> set[str]:
    """Return the tags that a run has from its start: spec, model, commit of the checkpoint, targets."""
    return {
        f"spec:{spec.name}",
        f"model:{spec.checkpoint.repo}",
        f"commit:{commit[:12]}",
        *(f"target:{target}" for target in targets),
    }


def page_address(run_id: str | UUID | None) -> str | None:
    """Return the address of a run, for a link within the UI; None if there is no run or no UI."""
    return _address("runs", run_id)


def own_page() -> str | None:
    """Return the address of this run, for a browser that may not have logged in; None if there is no UI.

    It is that of Prefect's newer UI, which asks for the login and then shows the run. The older one, to which
    `page_address` leads, shows an error until the user has logged in on another page.
    """
    return _address("v2/runs", flow_run.get_id())


def _address(place: str, run_id: str | UUID | None) -> str | None:
    base = PREFECT_UI_URL.value()
    return f"{base.rstrip('/')}/{place}/flow-run/{run_id}" if run_id and base else None


def show_verdict(
    spec: Spec, summary: BuildSummary, judged: Sequence[Judged], links: Mapping[str, str]
) -> None:
    """Create the page with the verdicts, the only artifact of the flow itself and not of one of its tasks.

    The UI has no order within a run: it sorts by random ids. Prefect's first UI shows the flow's own before
    those of its tasks; the second, to which our messages link, does not.
    """
    create_markdown_artifact(
        verdict_page(spec, summary, judged, links),
        key=artifact_key(f"{spec.name}-verdict"),
        description=as_code(headline(summary)),
    )


@task(name="figures", task_run_name="figures {variant}", cache_policy=NO_CACHE, persist_result=False)
def show_figures(spec: str, variant: str, rows: list[Row], link: str | None) -> None:
    """Create a table of what was measured of one variant, and a link to its report."""
    label = artifact_key(f"{spec}-{variant}")
    create_table_artifact(
        rows,
        key=f"{label}-figures",
        description=f"What was measured of `{variant}`, with bounds and limits, next to vLLM",
    )
    if link is not None:
        create_link_artifact(
            link,
            link_text=f"Report of {variant}",
            key=f"{label}-report",
            description=f"The report of `{variant}`; the link works for a week",
        )


@task(name="stages", task_run_name="stages", cache_policy=NO_CACHE, persist_result=False)
def show_stages(spec: str, steps: Sequence[StepSummary]) -> None:
    """Create a table of what each stage did, why it ran or did not, and how long it took."""
    create_table_artifact(
        stage_rows(steps),
        key=artifact_key(f"{spec}-stages"),
        description="What each stage did, why, and how long it took",
    )


def report_link(store: Store, report: str) -> str | None:
    """Return an address of a report's page that any browser can open for a week, if the store has any.

    Raises what `Store.link_to` raises.
    """
    return store.link_to(report, REPORT_PAGE, content_type=PAGE_TYPE, valid_s=LINK_VALID_S)


def artifact_key(text: str) -> str:
    """Return a key that Prefect accepts: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
