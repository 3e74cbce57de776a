"""The demo: its own Hub and stack, whatever the user has configured, and nothing left behind."""

import json
import threading
import urllib.error
import urllib.request

import pytest

from artifacts.settings import Settings
from flows.demo.environment import demo_hub, enter


def test_the_hub_serves_the_demo_checkpoint_and_ends_with_its_context() -> None:
    with demo_hub() as url:
        with urllib.request.urlopen(
            f"{url}/api/models/enginery/demo-llama/revision/main", timeout=10
        ) as answer:
            assert json.load(answer)["id"] == "enginery/demo-llama"
        assert "demo-hub" in {thread.name for thread in threading.enumerate()}
    assert "demo-hub" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/health", timeout=10)


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "HF_HUB_OFFLINE", "AWS_PROFILE", "AWS_ENDPOINT_URL", "PREFECT_API_URL"]
)
def test_the_users_own_servers_and_tokens_are_left_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import os

    monkeypatch.setattr(os, "environ", {name: "mine", "PATH": os.environ["PATH"]})
    enter(settings, "http://127.0.0.1:1")
    assert name not in os.environ
    assert os.environ["HF_ENDPOINT"] == "http://127.0.0.1:1"
