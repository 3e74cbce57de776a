"""The demo's environment: the local stack and a small Hub on this machine, whatever else is configured."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifacts.settings import Settings
from flows.demo.hub_repo import DEMO_HUB
from flows.demo.hub_server import HubServer
from flows.stack.environment import PREFECT_CHOICES, STORE_CHOICES, stack_environment

# Settings of the user that would lead the demo to another Hub, or keep it offline.
_HUB_CHOICES = ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE")


@contextmanager
def demo_hub(root: Path = DEMO_HUB) -> Iterator[str]:
    """Serve the demo's repositories, or others, while the context lasts; yield the address.

    The server is a thread of this process, so that it cannot outlive the demo.
    """
    server = HubServer(root, 0)
    thread = threading.Thread(target=server.serve_forever, name="demo-hub", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def enter(settings: Settings, hub_url: str) -> None:
    """Point this process to the local stack and the demo's Hub.

    Call it before the Hub's client is imported, which reads its variables at that time.
    """
    for name in (*STORE_CHOICES, *PREFECT_CHOICES, *_HUB_CHOICES):
        os.environ.pop(name, None)
    os.environ.update(stack_environment(settings))
    os.environ.update({"HF_ENDPOINT": hub_url, "HF_HUB_DISABLE_XET": "1"})
