"""The time of the next nightly run, according to a Prefect server."""

from datetime import UTC, datetime

from pydantic import AwareDatetime, Field

from artifacts.frozen import Frozen
from flows.stack.components.prefect_api import PrefectApi

_DEPLOYMENT = "nightly/nightly"


class NextRun(Frozen):
    """The next run of a schedule."""

    time: AwareDatetime | None = Field(default=None, description="When it starts; null if none will.")
    reason: str = Field(default="", description="Why none will start; empty if one will.")


def next_nightly(api: PrefectApi) -> NextRun:
    """Return the next scheduled run of the deployment `nightly`, or why there is none.

    A schedule alone is not enough: Prefect's scheduler must have created a run from it.
    """
    try:
        deployment = api.get(f"deployments/name/{_DEPLOYMENT}")
        runs = api.post("flow_runs/filter", _upcoming_runs(deployment["id"]))
    except (OSError, ValueError) as error:  # ValueError: not an address, or not JSON
        return NextRun(reason=f"{api.url} has no answer about the deployment {_DEPLOYMENT}: {error}")
    if runs:
        return NextRun(time=runs[0]["next_scheduled_start_time"])
    if deployment["paused"]:
        return NextRun(reason=f"the deployment {_DEPLOYMENT} is paused")
    if not any(schedule["active"] for schedule in deployment["schedules"]):
        return NextRun(reason=f"no schedule of the deployment {_DEPLOYMENT} is active")
    return NextRun(reason=f"the server has not made a run of {_DEPLOYMENT} from its schedule yet")


def _upcoming_runs(deployment_id: str) -> dict[str, object]:
    return {
        "deployments": {"id": {"any_": [deployment_id]}},
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"after_": datetime.now(UTC).isoformat()},
        },
        "sort": "NEXT_SCHEDULED_START_TIME_ASC",
        "limit": 1,
    }
