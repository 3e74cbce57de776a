"""`enginery pull` and `enginery serve` on hosts whose GPUs a stand-in of the driver's library reports."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.engines.directories import on_h200, write_engine
from support.programs.cli import run_cli
from support.standin.nvml import compile_standin, environment, gpu
from support.stores.releases import CPU_MODEL, published, variant

from artifacts.hosts import Gpu, cpu_model
from artifacts.releases import move_channel, read_release
from artifacts.releases.releases import publish
from artifacts.settings import Settings
from artifacts.store import Store

Cli = Callable[..., CompletedProcess[str]]
PAIR = (gpu(index=0), gpu(index=1))
L40S = (gpu("NVIDIA L40S", 0, "8.9", 46068),)


@pytest.fixture
def cli(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Runs the command line on a host with these GPUs."""
    library = compile_standin(tmp_path_factory.mktemp("nvml"))
    toolchains = {"ENGINERY_TOOLCHAINS_DIR": str(settings.home / "no-toolchains")}

    def run(
        *words: str | Path, gpus: Sequence[Gpu] = PAIR, driver: str = "580.95.05", **env: str
    ) -> CompletedProcess[str]:
        return run_cli(*words, env=environment(library, gpus, driver) | toolchains | env)

    return run


@pytest.fixture
def release(store: Store, tmp_path: Path) -> None:
    """demo@1.4.0, whose first variant is for two H200 and whose second is for an L40S."""
    write_engine(tmp_path / "h200")
    write_engine(tmp_path / "l40s", requires=on_h200(gpu_names=("NVIDIA L40S",), compute_capability="8.9"))
    engines = {name: store.put_tree(tmp_path / name).digest for name in ("h200", "l40s")}
    published(
        store,
        variant("h200", engines["h200"], requires=on_h200(2)),
        variant(
            "l40s",
            engines["l40s"],
            requires=on_h200(gpu_names=("NVIDIA L40S",), compute_capability="8.9"),
        ),
    )


@pytest.mark.usefixtures("release")
def test_each_host_gets_the_engine_of_its_gpu_and_others_the_reason(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "root"
    pulled = cli("pull", "demo@1.4", "--to", root)
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.strip().endswith("/h200")
    assert "2 x NVIDIA H200, driver 580.95.05" in pulled.stderr
    assert f"judged on {CPU_MODEL}, this host has {cpu_model()}: measured speed may not hold" in pulled.stderr
    assert cli("pull", "demo@1.4", "--to", root, gpus=L40S).stdout.strip().endswith("/l40s")
    refused = cli("pull", "demo@1.4", "--to", root, gpus=L40S, driver="570.10")
    assert refused.returncode == 4
    assert (
        "h200: needs 2 x NVIDIA H200 of compute capability 9.0; this host has 1 x NVIDIA L40S"
        in refused.stderr
    )
    assert "l40s: needs NVIDIA driver 580.65.06 or newer, this host has 570.10" in refused.stderr


@pytest.mark.usefixtures("release")
def test_serve_refuses_the_wrong_host_and_a_truncated_engine_before_anything_starts(
    cli: Cli, tmp_path: Path
) -> None:
    directory = Path(cli("pull", "demo@1.4", "--to", tmp_path / "root").stdout.strip())
    wrong = cli("serve", directory, gpus=L40S)
    assert (wrong.returncode, "this host has 1 x NVIDIA L40S" in wrong.stderr) == (4, True)
    hidden = cli("serve", directory, CUDA_VISIBLE_DEVICES="1")
    assert (hidden.returncode, "of which CUDA_VISIBLE_DEVICES allows 1" in hidden.stderr) == (4, True)
    assert "installing" not in hidden.stderr
    none = cli("serve", directory, driver="broken")
    assert (none.returncode, "does not start: Driver Not Loaded" in none.stderr) == (4, True)
    (directory / "llm_args.yaml").chmod(0o644)
    (directory / "llm_args.yaml").write_text("cut")
    cut = cli("serve", directory)
    assert (cut.returncode, "llm_args.yaml has 3 bytes instead of" in cut.stderr) == (6, True)


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("port", ["taken", "0", "99999", "-1"])
def test_serve_refuses_a_port_that_it_cannot_have_and_announces_nothing(
    cli: Cli, tmp_path: Path, port: str
) -> None:
    directory = Path(cli("pull", "demo@1.4", "--to", tmp_path / "root").stdout.strip())
    with socket.create_server(("127.0.0.1", 0)) as other:
        asked = str(other.getsockname()[1]) if port == "taken" else port
        refused = cli("serve", directory, "--port", asked)
    assert refused.returncode == 2, refused.stderr
    said = "is taken by another program" if port == "taken" else f"{port} is not a port"
    assert said in refused.stderr
    assert "serving" not in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.usefixtures("release")
def test_what_was_never_pulled_is_reported_with_what_was(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "root"
    directory = Path(cli("pull", "demo@1.4", "--to", root).stdout.strip())
    for command in ("serve", "verify"):
        for above, named in (
            (root, root / "demo" / "current"),
            (root / "demo", root / "demo" / "current"),
            (directory.parent, directory),
        ):
            refused = cli(command, above)
            assert refused.returncode == 4
            assert f"fix: name {named}\n" in refused.stderr
    assert cli("verify", root / "demo" / "current").returncode == 0


@pytest.mark.usefixtures("release")
def test_a_bare_name_is_stable_or_the_newest_release_and_every_command_says_which(
    cli: Cli, store: Store, tmp_path: Path
) -> None:
    first = read_release(store, "demo", "1.4.0")
    newest = publish(store, first.model_copy(update={"version": "1.10.0"}))
    commands = (("show", "demo"), ("report", "demo"), ("pull", "demo", "--to", tmp_path / "root"))
    for command in commands:
        said = "demo means demo@1.10.0: its newest release, as it has no channel stable"
        assert said in cli(*command).stderr
    move_channel(store, "stable", first, "promoted")
    for command in commands:
        assert "demo means demo@1.4.0: its channel stable points there" in cli(*command).stderr
    assert cli(*commands[2]).stdout.strip().endswith("demo/1.4.0/h200")
    assert newest.version not in cli("show", "demo").stdout
    assert "means" not in cli("show", "demo@1.4.0").stderr


def test_targets_and_doctor_know_the_gpus(cli: Cli) -> None:
    rows = {line.split()[0]: line for line in cli("targets", "list").stdout.splitlines()}
    assert rows["h200"].endswith("yes")
    assert rows["l40s"].endswith("no: no such GPU")
    said = cli("doctor", "--only", "gpu").stdout
    assert "2 x NVIDIA H200 (compute capability 9.0), driver 580.95.05: h200" in said
