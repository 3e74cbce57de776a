"""A plan of what was made already: every stage is a hit, and little is asked of the store."""

from collections import Counter
from pathlib import Path

from support.paths import E2E_SPEC
from support.plans.planning import installed, keep_everything

from artifacts.settings import Settings
from artifacts.store import Snapshot, Store
from engine_specs.spec import load_spec, resolve_variants
from tasks.hub import HubAccess
from tasks.plan import plan_spec
from tasks.runs import Pipeline

MOST_REQUESTS = 10


def test_everything_hits_and_a_variant_takes_few_requests(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    spec = load_spec(E2E_SPEC)
    pipeline = Pipeline(settings, store, say=lambda _line: None)
    access = HubAccess(endpoint="http://127.0.0.1:9", cache_dir=tmp_path / "hf", timeout_s=2.0)
    keep_everything(pipeline, spec, access)
    requests = Counter[str]()
    store.bucket._client.meta.events.register(
        "before-send.s3", lambda event_name, **_sent: requests.update([event_name])
    )
    looking = Pipeline(settings, Snapshot(store), say=lambda _line: None)
    plan = plan_spec(looking, spec, access, resolve_variants(spec), installed)
    states = {f"{stage.stage} {stage.variant}".strip(): stage.state for stage in plan.stages}
    assert len(states) == len(plan.stages) > 6
    assert {name for name, state in states.items() if state == "hit"} >= {
        "fetch checkpoint",
        "fetch heldout",
        *(f"{stage} cpu-int8" for stage in ("baseline", "quantize", "build", "measure")),
    }
    assert set(states.values()) == {"hit", "always"}
    assert 0 < requests.total() <= MOST_REQUESTS, requests
