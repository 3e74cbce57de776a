"""Every program reports a wrong setting in words, with exit code 2; every module can be imported with one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs.cli import run_here

import flows
from artifacts.settings import Settings

README = Path(flows.__file__).parents[1] / "README.md"
FILE = "/dev/null"
NUMBERS = ("measurement_max_age_hours", "job_time_limit_s", "server_ready_limit_s")
DIRECTORIES = ("home", "cache_dir", "toolchains_dir", "gpu_locks_dir", "wheelhouse", "specs_dir")
# Values by the setting that they are wrong for.
WRONG = {
    **dict.fromkeys(NUMBERS, ("many", "0", "inf", "nan")),
    "store_bucket": ("ab",),
    **dict.fromkeys(DIRECTORIES, (FILE, f"{FILE}/below", "~no-such-user/below")),
    "store_prefix": (os.fsdecode(b"\xff"),),
    "placement": ("side-by-side", "TOGETHER"),
    "quiet_host": ("maybe", "REQUIRE"),
    "toolchains": ("aot-cpu", "[]", '{"aot-cpu": "/usr/bin/python3"}'),
    "tool_env": ("HF_TOKEN=x", "PATH=/x", "{}}"),
}
# What one run can report together.
TOGETHER = [
    {name: values[one] for name, values in WRONG.items() if name in names and one < len(values)}
    for names in (
        (*NUMBERS, "store_bucket", "placement", "quiet_host", "toolchains", "tool_env"),
        DIRECTORIES,
    )
    for one in range(max(len(WRONG[name]) for name in names))
]
STORE = {
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
CLI = ("-m", "flows.cli")


def run_python(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in an empty directory, with a home there and these variables more."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | STORE | {"ENGINERY_HOME": str(folder / "home")} | env,
        cwd=folder,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=120,
        check=False,
    )


def list_releases(folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `enginery list` in this process, with what `run_python` sets."""
    env = STORE | {"ENGINERY_HOME": str(folder / "home")} | variables
    return run_here("list", env=env, cwd=folder)


def assert_reported(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr
    for part in ("fix: ", *said):
        assert part in done.stderr


def test_every_setting_has_wrong_values_here_and_a_line_in_the_readme() -> None:
    documented = re.findall(
        r"^\| `ENGINERY_([A-Z_]+)`", README.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert {name.lower() for name in documented} == set(Settings.model_fields) == set(WRONG)


@pytest.mark.parametrize("wrong", TOGETHER, ids=lambda wrong: " ".join(dict.fromkeys(wrong.values())))
def test_wrong_settings_are_named_all_at_once(tmp_path: Path, wrong: dict[str, str]) -> None:
    variables = {f"ENGINERY_{name.upper()}": value for name, value in wrong.items()}
    assert_reported(list_releases(tmp_path, variables), *variables)


def test_bytes_that_are_not_text_are_reported(tmp_path: Path) -> None:
    (prefix,) = WRONG["store_prefix"]
    assert_reported(list_releases(tmp_path, {"ENGINERY_STORE_PREFIX": prefix}), "is not UTF-8")


@pytest.mark.parametrize("command", ["build demo", "nightly", "plan demo", "doctor", "up", "status"])
def test_a_wrong_setting_is_named_by_every_command(tmp_path: Path, command: str) -> None:
    done = run_python(tmp_path, *CLI, *command.split(), ENGINERY_JOB_TIME_LIMIT_S="many")
    assert_reported(done, "ENGINERY_JOB_TIME_LIMIT_S")


def test_a_wrong_setting_is_named_by_the_check_on_gpus(tmp_path: Path) -> None:
    assert_reported(
        run_python(tmp_path, "-m", "flows.gpu_check", ENGINERY_JOB_TIME_LIMIT_S="many"),
        "ENGINERY_JOB_TIME_LIMIT_S",
    )


@pytest.mark.parametrize(
    ("variables", "file"),
    [
        ({"ENGINERY_SPECS_DIR": "nowhere"}, b""),
        ({}, b"job_time_limit_s = "),
    ],
)
def test_flows_are_imported_whatever_the_settings_are(
    tmp_path: Path, variables: dict[str, str], file: bytes
) -> None:
    (tmp_path / "enginery.toml").write_bytes(file)
    code = "from flows.build import spec_choices\nimport flows.nightly\nprint(spec_choices())"
    done = run_python(tmp_path, "-c", code, **variables)
    assert (done.returncode, done.stdout) == (0, "{}\n"), done.stderr


def test_the_form_offers_the_specs(tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "mine.yaml").touch()
    code = "from flows.build import build\nprint(build.parameters.properties['spec']['enum'])"
    done = run_python(tmp_path, "-c", code, ENGINERY_SPECS_DIR=str(specs))
    assert done.stdout == "['mine']\n", done.stderr


@pytest.mark.parametrize(
    ("command", "name", "value", "said"),
    [
        (
            "build demo",
            "PREFECT_LOGGING_LEVEL",
            "NOPE",
            "prefect cannot be loaded with its settings: level: ",
        ),
        (
            "nightly demo",
            "PREFECT_LOGGING_LEVEL",
            "NOPE",
            "prefect cannot be loaded with its settings: level: ",
        ),
        (
            "plan demo",
            "HF_HUB_DOWNLOAD_TIMEOUT",
            "long",
            "huggingface_hub cannot be loaded with its settings",
        ),
    ],
)
def test_a_variable_that_a_library_cannot_be_imported_with_is_named(
    tmp_path: Path, command: str, name: str, value: str, said: str
) -> None:
    done = run_python(tmp_path, *CLI, *command.split(), **{name: value})
    assert_reported(done, said, name)


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("list", "HTTP_PROXY", "://"),
        ("plan demo", "http_proxy", "http://127.0.0.1:port"),
        ("plan demo", "ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("plan demo", "SSL_CERT_FILE", "/nowhere/ca.pem"),
    ],
)
def test_a_variable_that_an_http_client_refuses_is_named(
    tmp_path: Path, command: str, name: str, value: str
) -> None:
    done = run_here(
        *command.split(), env=STORE | {"ENGINERY_HOME": str(tmp_path / "home"), name: value}, cwd=tmp_path
    )
    assert_reported(done, name)
    assert "AWS" not in done.stderr


def test_the_values_of_a_librarys_variables_are_not_printed(tmp_path: Path) -> None:
    hidden = {"PREFECT_API_KEY": "topsecret", "PREFECT_API_REQUEST_TIMEOUT": "password"}
    done = run_python(tmp_path, *CLI, "build", "demo", **hidden)
    assert_reported(done, "PREFECT_API_KEY")
    message = done.stderr.partition("enginery: ")[2]
    assert "topsecret" not in done.stderr
    assert "password" not in message
