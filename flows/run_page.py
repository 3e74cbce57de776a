"""What a person sees of a build in the Prefect UI: name and tags of the run, and its artifacts.

Artifacts are views of what the store holds; nothing reads them back.
"""

import os
import re
import socket
from collections.abc import Sequence
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL

from artifacts.store import Store
from artifacts.transfer import blob_key
from engine_specs.models import Spec
from flows.summary import BuildSummary
from tasks.judging.results import Interval, NotMeasured
from tasks.judging.verdict import Outcomes
from tasks.stage import StageResult
from tasks.stages.judge import Judged

REPORT_PAGE = "report.html"
LINK_VALID_S = 7 * 24 * 3600


class Progress:
    """The progress bar of one build, counted in stages."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        made = create_progress_artifact(progress=0.0, description=f"0 of {total} stages")
        self._id = cast("UUID", made)  # Prefect's calls are coroutines only where a loop runs

    def step(self) -> None:
        """One more stage is done, or turned out not to be needed."""
        self._done += 1
        percent = min(100.0, 100.0 * self._done / self._total)
        update_progress_artifact(
            self._id, progress=percent, description=f"{self._done} of {self._total} stages"
        )

    def finish(self) -> None:
        """Nothing is left to do."""
        update_progress_artifact(self._id, progress=100.0, description=f"{self._done} stages")


def own_run() -> None:
    """Note this process (HOST:PID) as the one that runs the flow, where no worker has noted it already.

    Should the process die, the next `enginery up` finds it gone and settles the run (`flows.stack.orphans`).
    """
    run_id = flow_run.get_id()
    if run_id is None:
        return
    with get_client(sync_client=True) as client:
        if client.read_flow_run(UUID(run_id)).infrastructure_pid is None:
            client.update_flow_run(UUID(run_id), infrastructure_pid=f"{socket.gethostname()}:{os.getpid()}")


def name_run(spec: Spec, commit: str, targets: Sequence[str]) -> None:
    """Make the run findable: by spec, model, target, and the commit of the checkpoint."""
    run_id = flow_run.get_id()
    if run_id is None:
        return
    tags = {
        *(flow_run.get_tags() or []),
        f"spec:{spec.name}",
        f"model:{spec.checkpoint.repo}",
        f"commit:{commit[:12]}",
        *(f"target:{target}" for target in targets),
    }
    _update(UUID(run_id), f"{spec.name}-{spec.version}-{commit[:7]}", tags)


def tag_run(*tags: str) -> None:
    """Add tags to the run, such as the fingerprint of an engine."""
    run_id = flow_run.get_id()
    if run_id is not None:
        with get_client(sync_client=True) as client:
            present = client.read_flow_run(UUID(run_id)).tags
        _update(UUID(run_id), None, {*present, *tags})


def _update(run_id: UUID, name: str | None, tags: set[str]) -> None:
    with get_client(sync_client=True) as client:
        if name is None:
            client.update_flow_run(run_id, tags=sorted(tags))
        else:
            client.update_flow_run(run_id, name=name, tags=sorted(tags))


def page_address() -> str | None:
    """Address of this run in the UI; None without a run, or where the server has no UI."""
    run_id, base = flow_run.get_id(), PREFECT_UI_URL.value()
    return f"{base.rstrip('/')}/runs/flow-run/{run_id}" if run_id and base else None


def show_variant(store: Store, spec: Spec, judged: Judged) -> None:
    """The report of one variant: the verdict in words, its numbers as a table, the page as a link."""
    label = artifact_key(f"{spec.name}-{judged.entry.name}")
    create_markdown_artifact(markdown(spec, judged), key=f"{label}-verdict", description=judged.verdict.row)
    if judged.result is not None:
        create_table_artifact(
            figures(judged.result.outcomes), key=f"{label}-figures", description="Gates and their bounds"
        )
    if judged.entry.report is not None:
        link = report_link(store, judged.entry.report)
        create_link_artifact(
            link,
            link_text=f"Report of {judged.entry.name}",
            key=f"{label}-report",
            description="The report, open for a week; `enginery report` fetches it at any time",
        )


def show_stages(summary: BuildSummary) -> None:
    """What each stage did, and why it ran or did not."""
    create_table_artifact(
        [stage_row(stage) for stage in summary.stages],
        key=artifact_key(f"{summary.spec}-stages"),
        description=summary.publication,
    )


def report_link(store: Store, report: str) -> str:
    """An address of a report's page that a browser can open for a week."""
    digests = {file.path: file.sha256 for file in store.get_listing(report).files}
    key = blob_key(digests[REPORT_PAGE])
    return store.bucket.signed_url(key, content_type="text/html; charset=utf-8", valid_s=LINK_VALID_S)


def stage_row(stage: StageResult) -> dict[str, str | float]:
    """One stage as a row of a table."""
    return {
        "stage": stage.stage,
        "of": stage.variant,
        "result": "reused" if stage.reused else "made",
        "why": stage.reason,
        "seconds": stage.duration_s,
        "tree": stage.tree[:12],
        "fingerprint": stage.fingerprint[:12],
    }


def markdown(spec: Spec, judged: Judged) -> str:
    """The verdict in words."""
    entry = judged.entry
    reasons = "\n".join(f"- {reason}" for reason in entry.reasons)
    return (
        f"# {entry.verdict}\n\n"
        f"**{spec.name} {spec.version}**, variant `{entry.name}` on `{entry.target}`, decided by "
        f"`{judged.verdict.row}`: a release carries {judged.verdict.publishes}.\n\n{reasons}\n"
    )


def figures(outcomes: Outcomes) -> list[dict[str, str]]:
    """The gates with their intervals, as rows of a table."""
    rows: list[tuple[str, str, Interval, str]] = [
        ("accuracy: regret, nats/token", outcomes.regret.outcome, outcomes.regret.regret_nats, "{:.5f}"),
        ("accuracy: same tokens", outcomes.regret.outcome, outcomes.regret.agreement, "{:.3f}"),
        ("length of outputs, ratio", outcomes.length.outcome, outcomes.length.ratio, "{:.3f}"),
    ]
    if isinstance(outcomes.timed, NotMeasured):
        return [*map(_figure, rows), {"gate": "speed", "outcome": outcomes.timed.outcome}]
    speed, money = outcomes.timed.speed, outcomes.timed.economics
    rows.append((f"{speed.metric}, ratio", speed.outcome, speed.ratio, "{:.3f}"))
    in_all = {"gate": "economics, USD/month", "outcome": money.outcome, "estimate": f"{money.net_usd:.2f}"}
    return [*map(_figure, rows), in_all]


def _figure(row: tuple[str, str, Interval, str]) -> dict[str, str]:
    gate, outcome, value, shape = row
    bounds = {name: shape.format(getattr(value, name)) for name in ("estimate", "lower", "upper")}
    return {"gate": gate, "outcome": outcome, **bounds}


def artifact_key(text: str) -> str:
    """A key as Prefect takes it: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
