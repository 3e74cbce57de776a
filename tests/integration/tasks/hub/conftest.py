"""A Hub over small repositories, and access to it with a cache of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.servers.hub_faults import Fault, FaultyHub, faulty_hub

from tasks.hub import HubAccess


@pytest.fixture
def hub_root(tmp_path: Path) -> Path:
    """Where a test writes its repositories."""
    root = tmp_path / "hub"
    root.mkdir()
    return root


@pytest.fixture
def start_hub(hub_root: Path) -> Iterator[Callable[..., FaultyHub]]:
    """Start a Hub over what `hub_root` holds by now, with faults."""
    with ExitStack() as stack:

        def start(*faults: Fault) -> FaultyHub:
            return stack.enter_context(faulty_hub(hub_root, *faults))

        yield start


@pytest.fixture
def access_to(tmp_path: Path) -> Callable[..., HubAccess]:
    """Access to a Hub; the cache outlives it within the test."""

    def access(hub: FaultyHub, token: str | None = None, timeout_s: float = 5.0) -> HubAccess:
        return HubAccess(endpoint=hub.url, cache_dir=tmp_path / "hf-cache", token=token, timeout_s=timeout_s)

    return access
