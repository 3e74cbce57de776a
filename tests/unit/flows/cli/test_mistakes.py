"""Mistakes of users: reported at once and in words, with the documented exit code, on every command."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
from support.programs.cli import PROGRAM

from artifacts.settings import Settings
from engine_specs.reading import PACKAGE
from flows.cli.main import run
from flows.stack.components.prefect_api import PrefectApi
from flows.stack.components.schedule import next_nightly

CLOSED = "http://127.0.0.1:9"
NO_STORE = {"AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(autouse=True)
def _own_home(settings: Settings) -> None:
    """No test here sees the user's stack."""


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A directory with what users mix up."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "directory.yaml").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "empty.yaml").touch()
    return tmp_path


class Done(NamedTuple):
    """What `enginery` ended with."""

    returncode: int
    stderr: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], there: Path) -> Cli:
    """Runs the command line in this process, in the directory `there`, with these variables more."""

    def run_here(*arguments: str, **env: str) -> Done:
        # A command sets variables for what it starts: no test after this one may see them.
        with monkeypatch.context() as patch, mock.patch.dict(os.environ, {**NO_STORE, **env}):
            patch.chdir(there)
            code = run(arguments)
        return Done(code, capfd.readouterr().err)

    return run_here


def assert_reported(done: Done, code: int, *said: str) -> None:
    assert done.returncode == code, done.stderr
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "temporary server" not in done.stderr, "Prefect was started first"
    assert "fix: " in done.stderr or "problem" in done.stderr
    for part in said:
        assert part in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nightly", "dmeo"), 2, "did you mean demo?"),
        (("nightly", "binary.yaml"), 2, "text in UTF-8"),
        (("build", "dmeo"), 2, "did you mean demo?"),
        (("build", "demo", "--variant", "cpu-int9"), 2, "did you mean cpu-int8?"),
        (("build", "demo", "--dry-run", "--variant", "cpu-int9"), 2, "did you mean cpu-int8?"),
        (("plan", "demo", "--variant", "cpu-int9"), 2, "did you mean cpu-int8?"),
        (("build", "demo", "--force", "--require-cached"), 2, "--require-cached lets none run"),
        (("build", "llama-3.1-8b-instruct"), 4, "cannot be built here"),
        (("build", "demo"), 5, "fix: enginery up"),
        (("nightly", "demo"), 5, "fix: enginery up"),
        (("list",), 5, "fix: enginery up"),
        (("show", "demo"), 5, "fix: enginery up"),
        (("report", "demo"), 5, "fix: enginery up"),
        (("history", "demo"), 5, "fix: enginery up"),
        (("pull", "demo", "--to", "root"), 5, "fix: enginery up"),
        (("build", "directory.yaml"), 2, "no spec file at directory.yaml"),
        (("build", "binary.yaml"), 2, "text in UTF-8"),
        (("plan", "empty.yaml"), 2, "an empty file"),
        (("specs", "validate", "./loop"), 2, "no spec file"),
        (("specs", "validate", "x" * 300 + ".yaml"), 2, "too long"),
        (("serve", "file"), 2, "this is not a directory"),
        (("verify", "file"), 2, "this is not a directory"),
        (("serve", "loop"), 2, "this is not a directory"),
        (("serve", "demo"), 4, "enginery pull demo --to ROOT"),
        (("verify", "demo:nightly"), 4, "enginery pull demo:nightly --to ROOT"),
        (("pull", "demo", "--to", "file"), 2, "this is not a directory"),
        (("pull", "demo", "--to", "loop"), 2, "this is not a directory"),
        (("up", "--s3-port", "99999"), 2, "99999 is not a port"),
        (("up", "--s3-port", "0"), 2, "0 is not a port"),
        (("up", "--prefect-port", "-1"), 2, "-1 is not a port"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_a_mistake_is_reported_in_words(cli: Cli, arguments: tuple[str, ...], code: int, said: str) -> None:
    assert_reported(cli(*arguments), code, said)


COMMANDS = ("status", "list", "specs list", "toolchain list", "plan demo", "build demo", "nightly", "doctor")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("home", ["file", "file/below", "loop"])
def test_a_home_that_is_no_directory_is_named_with_its_variable(
    cli: Cli, there: Path, command: str, home: str
) -> None:
    done = cli(*command.split(), ENGINERY_HOME=str(there / home))
    assert_reported(done, 2, "ENGINERY_HOME", str(there / home))


@pytest.mark.parametrize(
    "command", ["demo", "build demo", "selftest --live --only undamaged --repetitions 1"]
)
@pytest.mark.parametrize("variable", ["HOME", "ENGINERY_HOME", "ENGINERY_TOOLCHAINS_DIR"])
def test_a_path_that_no_compiler_takes_is_reported_before_anything_starts(
    cli: Cli, settings: Settings, tmp_path: Path, command: str, variable: str
) -> None:
    blank = tmp_path / "with a blank"
    done = cli(*command.split(), **{variable: str(blank)})
    assert_reported(done, 4, f"take no path with blanks or quotes: {variable} is {blank}")
    assert f"fix: set {variable} " in done.stderr
    assert not blank.exists(), "something was started or made"
    assert not settings.home.exists()


# What no user may write to, root included.
READ_ONLY = "/sys/enginery"


@pytest.mark.parametrize("command", ["up", "build demo", "nightly demo"])
def test_a_home_that_cannot_be_written_is_reported_before_anything_starts(cli: Cli, command: str) -> None:
    done = cli(*command.split(), ENGINERY_HOME=READ_ONLY, AWS_ENDPOINT_URL_S3=CLOSED)
    assert_reported(done, 1, READ_ONLY)


def test_a_file_where_prefect_keeps_its_data_is_reported_before_it_starts(cli: Cli, there: Path) -> None:
    done = cli("nightly", "llama-3.1-8b-instruct", PREFECT_HOME=str(there / "file"))
    assert_reported(done, 2, str(there / "file"))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"home = ", b"hom = 1", b'store_bucket = ["a"]', None])
def test_an_unusable_settings_file_is_reported(cli: Cli, there: Path, content: bytes | None) -> None:
    path = there / "enginery.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert_reported(cli("list"), 2, "enginery.toml")


def test_a_key_that_is_no_setting_is_named_with_the_one_that_was_meant(cli: Cli, there: Path) -> None:
    (there / "enginery.toml").write_text('hom = "x"\nunheard = 1\n')
    done = cli("list")
    assert_reported(done, 2, "2 settings cannot be used", "hom in enginery.toml: there is no such setting")
    assert "did you mean home?" in done.stderr
    assert "unheard in enginery.toml: there is no such setting\n" in done.stderr
    assert "ENGINERY_UNHEARD" not in done.stderr, "no such variable is read"


@pytest.mark.parametrize("command", ["specs list", "specs validate"])
def test_a_spec_under_another_name_is_no_second_spec_of_that_name(
    cli: Cli, there: Path, command: str
) -> None:
    text = (PACKAGE / "demo.yaml").read_text(encoding="utf-8")
    specs = there / "specs"
    specs.mkdir()
    assert cli(*command.split(), ENGINERY_SPECS_DIR=str(specs)) == Done(0, "there are no specs\n")
    for name in ("demo", "other"):
        (specs / f"{name}.yaml").write_text(text, encoding="utf-8")
    done = cli(*command.split(), ENGINERY_SPECS_DIR=str(specs))
    assert_reported(done, 2, "other.yaml holds the spec 'demo', not 'other'")


@pytest.mark.parametrize("url", ["foo", CLOSED])
def test_an_unusable_address_of_prefect_is_no_defect_of_a_schedule(url: str) -> None:
    assert f"{url} has no answer about the deployment" in next_nightly(PrefectApi(url)).reason


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGINERY_HOME")
    unset = Settings()
    monkeypatch.setenv("ENGINERY_HOME", "")
    monkeypatch.setenv("ENGINERY_JOB_TIME_LIMIT_S", "")
    assert Settings() == unset


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ENDPOINT_URL_S3": "foo"}, "AWS_ENDPOINT_URL_S3"),
        ({"AWS_ENDPOINT_URL_S3": "127.0.0.1:8333"}, "such as http://127.0.0.1:8333"),
        ({"AWS_PROFILE": "nope"}, "AWS_PROFILE"),
        ({"AWS_ENDPOINT_URL_S3": f"{CLOSED}9999"}, "AWS_ENDPOINT_URL_S3"),
        ({"AWS_ENDPOINT_URL_S3": CLOSED}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_store_that_was_named_wrongly_is_reported_with_the_variable(
    cli: Cli, variables: dict[str, str], said: str
) -> None:
    assert_reported(cli("list", **variables), 5, said)


def test_bytes_that_are_no_text_are_reported(cli: Cli) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL_S3": CLOSED}
    assert_reported(cli("list", ENGINERY_STORE_PREFIX=os.fsdecode(b"\xff"), **keys), 2, "is not UTF-8")


def test_a_full_disk_behind_stdout_is_reported() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "specs", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert_reported(Done(done.returncode, done.stderr), 1, "the disk is full")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify", "nothing"), 4),
        (("build", "dmeo"), 2),
        (("list", "--jsno"), 2),
        (("frob",), 2),
        (("list",), 5),
    ],
)
def test_debug_adds_the_traceback_and_changes_nothing_else(
    cli: Cli, arguments: tuple[str, ...], code: int
) -> None:
    plain, debug = cli(*arguments), cli(*arguments, "--debug")
    assert plain.returncode == debug.returncode == code
    assert "Traceback" in debug.stderr
    assert "Traceback" not in plain.stderr
    assert debug.stderr.endswith(plain.stderr)
