"""The stack serves its owner: another user of the host, or a web page, gets health checks and a login page.

Every test that expects a refusal has seen the same thing done with credentials.
"""

import asyncio
import http.client
import json
import stat
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import websockets
from support.programs.processes import wait_until
from support.servers.browser import browser_page, log_in
from support.servers.intruder import Answer, Door, as_nobody, ask, doors, knock, sockets
from support.servers.own_stack import USERS_OWN, Stack
from support.servers.seaweed import weed

from flows.stack.components import object_store, prefect_server, worker
from flows.stack.components.prefect_api import PrefectApi
from flows.stack.system.state import read_state

KEY, BODY = "kept/object", b"of the owner"
EVIL = "http://evil.example"
# What each kind of server here gives, takes, or deletes where it does not ask who is there.
PATHS = (
    *("/", "/healthz", "/readyz", "/status", "/metrics", "/debug/pprof/", "/ui/index.html", "/health"),
    *("/openapi.json", "/docs"),
    *("/dir/assign", "/dir/status", "/dir/lookup?volumeId=1", "/vol/grow?count=1", "/vol/status", "/submit"),
    *("/col/delete?collection=enginery", "/cluster/status", "/cluster/healthz", "/stats/counter"),
    *("/buckets/", f"/buckets/enginery/{KEY}", f"/enginery/{KEY}", "/enginery", "/1,01637037d6", "/.tus/"),
    *("/?Action=AssumeRoleWithWebIdentity", "/?Action=ListUsers"),
    *("/api/health", "/api/ready", "/api/version", "/api/admin/settings", "/api/admin/version"),
    *("/api/flow_runs/filter", "/api/deployments/filter", "/api/block_documents/filter", "/api/logs/filter"),
    *("/api/variables/filter", "/api/work_pools/filter", "/api/csrf-token?client=x", "/api/docs"),
)
HEALTH = {
    object_store.NAME: {"/healthz", "/readyz", "/status"},
    prefect_server.NAME: {"/api/health", "/api/ready"},
    worker.NAME: {
        "/health",
        "/openapi.json",
        "/docs",
    },  # these describe the health check; nothing else is there
}


def is_public(answer: Answer) -> bool:
    """Health checks; of Prefect's UI the page that asks for the login, which it gives for any address."""
    if answer.method != "GET":
        return False
    is_ui = answer.owner == prefect_server.NAME and not answer.path.startswith("/api")
    return is_ui or answer.path in HEALTH[answer.owner]


def test_no_port_serves_another_user_anything_but_health_checks(stack: Stack) -> None:
    s3, bucket = stack.s3(), stack.settings.store_bucket
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
    listening = doors(stack.processes())
    ports = {read_state(stack.paths).ports[name] for name in ("master", "volume", "filer", "s3", "prefect")}
    assert ports < {door.port for door in listening}
    served = as_nobody(lambda: knock(listening, PATHS, {"Content-Type": "application/json"}))
    assert [answer for answer in served if not is_public(answer)] == []
    assert {answer.owner for answer in served} == set(HEALTH), "the health checks are open"
    assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == BODY


def test_the_stores_shell_lists_for_who_has_its_keys_alone(stack: Stack, tmp_path: Path) -> None:
    stack.s3().put_object(Bucket=stack.settings.store_bucket, Key=KEY, Body=BODY)
    ports = read_state(stack.paths).ports
    masters = f"-master=127.0.0.1:{ports['master']}.{ports['master.grpc']}"
    filer = f"-filer=127.0.0.1:{ports['filer']}.{ports['filer.grpc']}"

    def listed(cwd: Path, limit_s: float) -> str:
        shell = subprocess.Popen(
            [weed(), "shell", masters, filer],
            cwd=cwd,
            env={"HOME": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            return shell.communicate(f"fs.ls /buckets/{stack.settings.store_bucket}\n", timeout=limit_s)[0]
        except subprocess.TimeoutExpired:  # it asks again for ever
            shell.kill()
            return shell.communicate()[0]

    folder = KEY.partition("/")[0]
    started = time.monotonic()
    assert folder in listed(stack.paths.root, limit_s=60)
    assert folder not in listed(tmp_path, limit_s=max(3, 10 * (time.monotonic() - started)))


def test_files_and_sockets_are_the_owners_alone(stack: Stack) -> None:
    made = sockets(stack.processes())
    assert {path.name for path in made} >= {"filer.sock", "s3.sock"}
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert stat.S_IMODE(stack.paths.root.stat().st_mode) == 0o700
    secret = (stack.paths.prefect_auth_file, stack.paths.credentials_file, stack.paths.security_file)
    assert [path for path in secret if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
    arguments = " ".join(
        word for family in stack.processes().values() for one in family for word in one.cmdline()
    )
    assert stack.auth_string not in arguments
    assert object_store.credentials(stack.paths)[1] not in arguments


def test_daemons_see_of_the_users_variables_what_they_need(stack: Stack) -> None:
    processes = stack.processes()
    assert all(processes.values())
    for name, family in processes.items():
        for process in family:
            seen = {variable for variable in USERS_OWN if process.environ().get(variable)}
            assert seen == ({"HF_TOKEN"} if name == worker.NAME else set()), process.cmdline()


def run_of_a_command(stack: Stack, marker: Path) -> tuple[str, dict[str, object]]:
    """Path and body of the request that lets the worker run a command."""
    deployment = stack.api.get("deployments/name/nightly/nightly")
    state = {"type": "SCHEDULED", "state_details": {}}
    body = {"state": state, "job_variables": {"command": f"touch {marker}"}}
    return f"deployments/{deployment['id']}/create_flow_run", body


@pytest.mark.parametrize("wrong", ["", "enginery:guessed", "enginery:"])
def test_only_the_owner_makes_the_worker_run_a_command(stack: Stack, tmp_path: Path, wrong: str) -> None:
    marker = tmp_path / "ran"
    path, body = run_of_a_command(stack, marker)
    headers = PrefectApi(stack.api.url, wrong)._authorization()
    port = int(stack.url.rpartition(":")[2])
    assert as_nobody(lambda: ask(port, "GET", "/api/admin/version", headers)) == 401
    forged = headers | {"Prefect-Csrf-Token": "x", "Prefect-Csrf-Client": "x"}
    assert as_nobody(lambda: ask(port, "POST", f"/api/{path}", forged)) in {401, 403}
    assert not marker.exists()
    if not wrong:
        run = stack.api.post(path, body)
        assert run["state"]["type"] == "SCHEDULED"
        wait_until(marker.exists, limit_s=90)


@pytest.mark.parametrize(
    "path", ["events/in", "events/out", "logs/out", "work_pools/enginery-cpu/workers/connect"]
)
def test_no_websocket_lets_a_stranger_in(stack: Stack, path: str) -> None:
    url = stack.api.url.replace("http://", "ws://") + f"/{path}"

    async def greeted(token: str) -> bool:
        async with websockets.connect(url, subprotocols=[websockets.Subprotocol("prefect")]) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            try:
                return json.loads(await socket.recv())["type"] == "auth_success"
            except websockets.ConnectionClosed:
                return False

    assert asyncio.run(greeted(stack.auth_string))
    assert not asyncio.run(greeted("enginery:guessed"))


@pytest.mark.parametrize("path", ["/", "/api/health", "/ui-settings"])
def test_a_name_that_leads_here_is_no_address_of_ours(stack: Stack, path: str) -> None:
    port = int(stack.url.rpartition(":")[2])
    statuses = {
        host: ask(port, "GET", path, {"Host": f"{host}:{port}"}) for host in ("127.0.0.1", "localhost")
    }
    assert set(statuses.values()) == {200}
    assert ask(port, "GET", path, {"Host": f"evil.example:{port}"}) == 400


@pytest.fixture
def foreign_page() -> Iterator[str]:
    """A page of another origin on this host."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>foreign</title>")

        def log_message(self, *args: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


FETCH = """async ([url, options]) => {
  try { const answer = await fetch(url, options); return await answer.text(); }
  catch (error) { return "refused"; }
}"""


def test_the_owner_logs_in_and_sees_the_runs_but_a_page_of_another_origin_gets_nothing(
    stack: Stack, foreign_page: str, tmp_path: Path
) -> None:
    name = f"seen-{uuid.uuid4().hex[:8]}"
    marker = tmp_path / "ran"
    path, body = run_of_a_command(stack, tmp_path / "unused")
    stack.api.post(path, {"name": name, "state": {"type": "COMPLETED"}})
    with browser_page() as page:
        log_in(page, stack.url, "enginery:guessed")
        page.wait_for_timeout(1000)
        assert "login" in page.url
        log_in(page, stack.url, stack.auth_string)
        page.get_by_text("Flow Runs", exact=True).first.wait_for()
        page.goto(f"{stack.url}/runs")
        page.get_by_text(name).first.wait_for()

        # The same browser, in which the owner is logged in.
        page.goto(foreign_page)
        body = {"name": name, "job_variables": {"command": f"touch {marker}"}}
        simple = {"method": "POST", "mode": "no-cors", "credentials": "include", "body": json.dumps(body)}
        readable = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": "{}"}
        page.evaluate(FETCH, [f"{stack.api.url}/{path}", simple])
        for url, options in (
            (f"{stack.api.url}/flow_runs/filter", readable),
            (f"{stack.api.url}/health", {}),
            (f"{stack.status.component(object_store.NAME).url}/{stack.settings.store_bucket}", {}),
        ):
            assert page.evaluate(FETCH, [url, options]) == "refused"
        page.goto(f"{stack.url}/api/health")
        assert page.evaluate(FETCH, [f"{stack.api.url}/health", {}]) == "true", "the page can ask"
    runs = stack.api.post("flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
    assert len(runs) == 1
    assert not marker.exists()


def test_no_origin_but_its_own_is_allowed_by_any_port(stack: Stack) -> None:
    asked = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    listening = [door for door in doors(stack.processes()) if allowed(door, asked) in {"*", EVIL}]
    assert listening == []
    own = {"Origin": stack.url, "Access-Control-Request-Method": "POST"}
    assert allowed(Door("", int(stack.url.rpartition(":")[2])), own) == stack.url


def allowed(door: Door, headers: dict[str, str]) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    try:
        connection.request("OPTIONS", "/api/flow_runs/filter", headers=headers)
        return connection.getresponse().getheader("Access-Control-Allow-Origin")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
