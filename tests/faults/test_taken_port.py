"""A port that is free when the stack chooses it, and taken when its server asks for it."""

import http.server
import threading
from pathlib import Path

import pytest
from support.servers.own_stack import USERS_OWN
from support.servers.prefect_database import seed_database

from artifacts.ports import free_port
from artifacts.settings import Settings
from flows.stack.components import object_store, prefect_server
from flows.stack.lifecycle import down, up
from flows.stack.system import ports


# Its first port is the one that it is asked at; the sixth of the store is one that only its own parts use.
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("server", "place"), [(prefect_server.NAME, 1), (object_store.NAME, 6)])
def test_a_server_whose_port_was_taken_meanwhile_gets_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, place: int
) -> None:
    for name, value in USERS_OWN.items():
        monkeypatch.setenv(name, value)
    settings, said = Settings(home=tmp_path), list[str]()
    seed_database(settings.home)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        choose, looked = ports.choose, list[str]()

        def too_early(name: str, **asked: object) -> tuple[int, str]:
            looked.append(name)
            if looked.count(server) == place and name == server:
                return stranger.server_port, "free"
            return choose(name, **asked)  # type: ignore[arg-type]

        monkeypatch.setattr(ports, "choose", too_early)
        try:
            status = up(settings, said.append, s3_port=free_port())
            assert status.all_up
            assert f":{stranger.server_port}" not in status.component(server).url
            assert any("its port was taken meanwhile by process" in line for line in said), said
        finally:
            down(settings, said.append)
            stranger.shutdown()
