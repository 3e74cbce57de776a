"""A plan of many specs whose results are all in the store: how long each takes, what it asks of the store."""

import os
import time
from collections import Counter
from pathlib import Path
from statistics import median
from unittest.mock import patch

from support.plans.planning import installed, keep_everything, numbered_spec
from support.servers import seaweed

from artifacts.settings import Settings
from artifacts.store import Snapshot, open_store
from engine_specs.spec import resolve_variants
from tasks.hub import HubAccess
from tasks.plan import plan_spec
from tasks.runs import Pipeline

SPECS = 40
NO_HUB = "http://127.0.0.1:9"


def report(root: Path) -> None:
    """Print the median time of a one-variant plan, and its requests."""
    (root / "s3").mkdir(parents=True)
    with seaweed.serve(root / "s3") as server, patch.dict(os.environ, server.environment):
        settings = Settings(cache_dir=root / "cache", store_bucket="bench")
        store = open_store(settings)
        store.ensure_bucket()
        pipeline = Pipeline(settings, store, say=lambda _line: None)
        access = HubAccess(endpoint=NO_HUB, cache_dir=root / "hf", timeout_s=2.0)
        specs = [numbered_spec(number) for number in range(SPECS)]
        for spec in specs:
            keep_everything(pipeline, spec, access)
        requests = Counter[str]()
        events = store.bucket._client.meta.events
        events.register("before-send.s3", lambda event_name, **_sent: requests.update([event_name]))
        looking = Pipeline(settings, Snapshot(store), say=lambda _line: None)
        seconds, states = [], set[str]()
        for spec in specs:
            begin = time.perf_counter()
            plan = plan_spec(looking, spec, access, resolve_variants(spec), installed)
            seconds.append(time.perf_counter() - begin)
            states |= {stage.state for stage in plan.stages}
    print(f"== plan of {SPECS} specs of one variant, all of them {'/'.join(sorted(states))}")
    print(
        f"one plan: {median(seconds):.3f} s (median), {requests.total() / SPECS:.1f} requests to the store:"
    )
    for name, count in requests.most_common():
        print(f"  {count / SPECS:.2f} {name.rpartition('.')[2]}")
