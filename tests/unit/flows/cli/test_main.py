"""The command line's promises: exit codes, clear messages, clean streams, nothing heavy for `--help`."""

import importlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from support.programs.cli import PROGRAM, run_cli, run_here

from artifacts.settings import Settings
from flows.cli.main import COMMANDS, explain

CLOSED_PORT = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _own_home(settings: Settings) -> None:
    """No test here sees the user's stack."""


def test_help_lists_every_command() -> None:
    done = run_cli("--help")
    names = [command.name for commands in COMMANDS.values() for command in commands]
    assert done.returncode == 0
    assert [name for name in names if f" {name} " not in done.stdout] == []


def test_help_imports_no_command_and_nothing_heavy() -> None:
    probe = (
        "import sys; from flows.cli.main import run; run(['--help']);"
        "heavy = ('flows.cli.commands.', 'boto', 'prefect', 'pydantic');"
        "print([m for m in sys.modules if m.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_host_with_the_light_install_finds_the_stack() -> None:
    probe = (
        "import sys; sys.modules['prefect'] = None;"
        "from artifacts.settings import Settings; from flows.stack.environment import stack_environment;"
        "from flows.stack.system.state import *; s = Settings(); p = StackPaths.below(s.home);"
        "from flows.stack.system.liveness import birth; import os;"
        "i = os.getpid();"
        "c = Component(name='object-store', pid=i, birth=birth(i), url='http://u', log='');"
        "write_state(p, StackState().with_component(c)); print(stack_environment(s)['AWS_ENDPOINT_URL_S3'])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "http://u\n"


@pytest.mark.parametrize(
    "command", [command for group in COMMANDS.values() for command in group], ids=lambda c: c.name
)
def test_every_registered_command_exists(command) -> None:
    module, _, name = command.target.partition(":")
    assert hasattr(importlib.import_module(f"flows.cli.commands.{module}"), name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("buidl",), "there is no command 'buidl'\n  fix: enginery build"),
        (("pull",), "`enginery pull` needs REFERENCE\n  fix: enginery pull --help"),
        (("pull", "demo"), "`enginery pull` needs --to"),
        (("pull", "demo", "--to"), "--to needs a value"),
        (("build",), "`enginery build` needs SPEC"),
        (("toolchain", "install"), "`enginery toolchain install` needs NAME"),
        (("build", "demo", "more"), "`enginery build` takes no further argument: 'more'"),
        (("up", "--s3-port", "x"), 'unable to convert "x" into int'),
        (("specs", "valid"), "Unknown command"),
        (("specs", "validate", "no-such-spec"), "no spec named 'no-such-spec'"),
        (("toolchain", "install", "nope"), "there is no toolchain 'nope'"),
    ],
)
def test_bad_arguments_exit_2_and_say_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    done = run_here(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_bad_settings_are_all_named_with_their_variables() -> None:
    done = run_here("status", env={"ENGINERY_STORE_BUCKET": "x", "ENGINERY_JOB_TIME_LIMIT_S": "soon"})
    assert done.returncode == 2
    assert "ENGINERY_STORE_BUCKET" in done.stderr
    assert "ENGINERY_JOB_TIME_LIMIT_S" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_settings_file_exits_2(tmp_path: Path) -> None:
    (tmp_path / "enginery.toml").write_text("home = ")
    done = run_here("status", cwd=tmp_path)
    assert done.returncode == 2
    assert "enginery.toml cannot be read" in done.stderr


def test_validate_names_every_problem_of_every_file_and_still_reports_the_good_one(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("name: one\nbogus: 1\n")
    (tmp_path / "two.yaml").write_text("{")
    done = run_here("specs", "validate", "demo", tmp_path / "one.yaml", tmp_path / "two.yaml")
    assert done.returncode == 2
    assert "demo: ok" in done.stdout
    assert "one.yaml:2: bogus" in done.stderr
    assert "two.yaml" in done.stderr


def test_an_unreachable_store_exits_5_with_the_address() -> None:
    env = {"AWS_ENDPOINT_URL_S3": CLOSED_PORT, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    done = run_here("list", env=env)
    assert done.returncode == 5
    assert CLOSED_PORT in done.stderr


@pytest.mark.parametrize(
    ("profile", "named", "fix"),
    [
        (False, "(PREFECT_API_URL)", "or unset PREFECT_API_URL"),
        (True, "(`prefect config view` shows what names it)", "or `prefect config unset PREFECT_API_URL`"),
    ],
)
@pytest.mark.parametrize("command", ["build", "nightly"])
def test_an_unreachable_prefect_server_exits_5_with_the_address_before_any_work(
    tmp_path: Path, profile: bool, named: str, fix: str, command: str
) -> None:
    """The store, whose address leads nowhere, would be asked next."""
    api = f"{CLOSED_PORT}/api"
    (tmp_path / "profiles.toml").write_text(f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{api}"\n')
    prefect = {"PREFECT_HOME": str(tmp_path)} if profile else {"PREFECT_API_URL": api}
    done = run_cli(command, "demo", env=prefect | {"AWS_ENDPOINT_URL_S3": CLOSED_PORT})
    assert done.returncode == 5
    assert "the Prefect server does not answer" in done.stderr
    assert f"{api} {named}" in done.stderr
    assert fix in done.stderr
    assert "Traceback" not in done.stderr


class NothingThere(BaseHTTPRequestHandler):
    """Answers 404, as a Prefect server does outside /api."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web_server() -> Iterator[str]:
    """The address of a server without an API."""
    with ThreadingHTTPServer(("127.0.0.1", 0), NothingThere) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_without_prefects_api_is_not_reported_as_a_refusal(web_server: str) -> None:
    done = run_cli("build", "demo", env={"PREFECT_API_URL": web_server})
    assert done.returncode == 5
    assert "has no API at this address" in done.stderr
    assert f"such as {web_server}/api" in done.stderr


def test_serving_what_was_never_pulled_exits_4(tmp_path: Path) -> None:
    done = run_here("serve", tmp_path)
    assert done.returncode == 4
    assert "enginery pull" in done.stderr


def test_status_of_no_stack_exits_5_and_json_is_one_document() -> None:
    done = run_cli("status", "--json")
    assert done.returncode == 5
    assert {part["state"] for part in json.loads(done.stdout)["components"]} == {"down"}
    assert "enginery up" in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = run_here("verify", tmp_path, "--debug")
    assert "Traceback" in done.stderr
    assert "NotFound" in done.stderr


def test_ctrl_c_is_reported_in_one_line_and_exits_130() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        env = os.environ | keys | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        running = subprocess.Popen([*PROGRAM, "list"], env=env, stderr=subprocess.PIPE, text=True)
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, "enginery: interrupted\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        [*PROGRAM, "specs", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


TERMINATED = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("terminated", flush=True), sys.exit(0)))
print("ready", flush=True)
input()
print("went on", flush=True)
"""
UNREAD = """
import sys
from flows.cli.console import emit, say
from flows.cli.main import exit_code_of
from flows.errors import BadArgument

def work():
    for line in range(3):
        say(f"progress {line}")
        emit(f"data {line}")
    raise BadArgument("and an error")

sys.exit(exit_code_of(work))
"""


def test_work_that_nobody_reads_about_is_done_and_keeps_its_exit_code() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", UNREAD], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        assert process.wait(timeout=60) == 2


def test_work_whose_terminal_was_closed_is_done_and_keeps_its_exit_code() -> None:
    terminal, ours = pty.openpty()
    with subprocess.Popen(
        ["nohup", sys.executable, "-c", f"input()\n{UNREAD}"], stdin=subprocess.PIPE, stdout=ours, stderr=ours
    ) as process:
        os.close(ours)
        os.close(terminal)
        assert process.stdin is not None
        process.stdin.write(b"go on\n")
        process.stdin.close()
        assert process.wait(timeout=60) == 2


def test_the_end_of_the_terminal_ends_a_command_as_sigterm_does() -> None:
    program = "from flows.cli import main\nmain._end_with_terminal()\n" + TERMINATED
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        assert process.stdout.read() == "terminated\n"
        assert process.wait(timeout=60) == 0


def test_a_command_that_nohup_started_outlives_the_terminal() -> None:
    program = "from flows.cli import main\nmain._end_with_terminal()\n" + TERMINATED
    with subprocess.Popen(
        ["nohup", sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        said, _ = process.communicate("go on\n", timeout=60)
        assert (process.returncode, said) == (0, "went on\n")


def test_a_defect_of_ours_says_so_and_exits_1() -> None:
    code, text = explain(KeyError("x"))
    assert code == 1
    assert "internal error: KeyError" in text
    assert "--debug" in text


def test_a_prefect_server_that_is_gone_is_no_defect() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        code, text = explain(httpx.ConnectError("[Errno 111] Connection refused"))
    assert code == 5
    assert "the Prefect server does not answer any more" in text
    assert "where: http://127.0.0.1:4200/api" in text
    assert "internal error" not in text


def answer(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://127.0.0.1:4200/api/flow_runs/1")
    return httpx.HTTPStatusError("it refused", request=request, response=httpx.Response(status))


def test_a_run_that_somebody_deleted_is_no_defect() -> None:
    error = ObjectNotFound(http_exc=answer(404))
    error.__cause__ = answer(404)
    code, text = explain(error)
    assert code == 5
    assert "does not know this run any more: somebody deleted it" in text


@pytest.mark.parametrize(("status", "said"), [(401, "denies access now (401): "), (503, "answers 503")])
def test_a_prefect_server_that_fails_or_denies_access_is_no_defect(status: int, said: str) -> None:
    code, text = explain(answer(status))
    assert (code, f"the Prefect server {said}" in text) == (5, True)
    assert "run this again: what is done is reused" in text


def test_a_request_that_prefect_rightly_refuses_is_a_defect() -> None:
    code, text = explain(answer(422))
    assert code == 1
    assert "internal error" in text


def test_a_missing_package_names_the_extra() -> None:
    wrapped = ImportError("Cannot import module")
    wrapped.__cause__ = ModuleNotFoundError("No module named 'prefect'", name="prefect.flows")
    code, text = explain(wrapped)
    assert code == 2
    assert "needs the package prefect" in text
    assert "pip install" in text


def test_a_missing_module_of_ours_is_a_defect() -> None:
    code, text = explain(ModuleNotFoundError("No module named 'flows.x'", name="flows.x"))
    assert code == 1
    assert "internal error" in text
