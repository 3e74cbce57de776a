"""What jobs and servers give a toolchain's launcher, and that what it answers is what runs."""

from pathlib import Path

import pytest

from artifacts.hosts import ServeCommand
from tasks.errors import WorkerFailed
from tasks.toolchains import Toolchain, Worker, run_job, serving
from tasks.toolchains.launcher import Launch, Launcher, Program
from tasks.workers.common.requests import Nothing, Request

SERVER = Path(__file__).parent / "workers" / "small_server.py"
GPUS = ("GPU-a", "GPU-b")
ANSWER = "import json, sys; json.dump({'ok': True, 'metrics': {}, 'tools': {}}, open(sys.argv[2], 'w'))\n"
STARTED: list[Program] = []


class Recording(Launcher):
    """Starts programs as they stand, and remembers them; `ended` is made by the command that ends them."""

    ended: Path

    def launch(self, program: Program) -> Launch:
        STARTED.append(program)
        env = {**program.env, "OF_LAUNCHER": "yes"}
        return Launch(program.argv, env, ("/bin/sh", "-c", f"echo $OF_LAUNCHER > {self.ended}"))


@pytest.fixture
def toolchain(here: Toolchain, tmp_path: Path) -> Toolchain:
    STARTED.clear()
    return here.model_copy(update={"launcher": Recording(ended=tmp_path / "ended")})


def job(toolchain: Toolchain, tmp_path: Path, source: str, limit_s: float = 60.0) -> None:
    worker, output = tmp_path / "src" / "worker.py", tmp_path / "out"
    worker.parent.mkdir()
    output.mkdir()
    worker.write_text(source)
    request = Request({}, Nothing(), {"checkpoint": tmp_path / "in"}, output)
    program = Worker(module="worker", import_path=worker.parent)
    run_job(toolchain, program, request, log=tmp_path / "log", on_line=print, time_limit_s=limit_s, gpus=GPUS)


def test_a_job_names_what_it_reads_and_writes_and_computes_on(toolchain, tmp_path):
    job(toolchain, tmp_path, ANSWER)
    (program,) = STARTED
    assert program.directory in program.writes
    assert tmp_path / "out" in program.writes
    assert {tmp_path / "in", tmp_path / "src"} <= set(program.reads)
    assert (program.gpus, program.listens) == (GPUS, False)
    assert program.env["TMPDIR"] == str(program.directory)
    assert not (tmp_path / "ended").exists()


def test_a_server_reads_its_tree_and_listens(toolchain, tmp_path):
    argv = ("{python}", str(SERVER), "ready", "{host}", "{port}", "{model}")
    recipe = ServeCommand(toolchain="here", argv=argv, model="small")
    with serving(
        toolchain, recipe, tmp_path, log=tmp_path / "log", on_line=print, ready_limit_s=30, gpus=GPUS
    ):
        (program,) = STARTED
        assert program.reads == (tmp_path,)
        assert program.writes == (program.directory,)
        assert (program.gpus, program.listens) == (GPUS, True)
        assert not (tmp_path / "ended").exists()
    assert (tmp_path / "ended").read_text() == "yes\n"


def test_what_does_not_end_by_itself_is_ended_by_the_launchers_command(toolchain, tmp_path):
    with pytest.raises(WorkerFailed, match="time limit"):
        job(toolchain, tmp_path, "import time; time.sleep(600)\n", limit_s=1.0)
    assert (tmp_path / "ended").read_text() == "yes\n"


def test_what_ends_with_an_exit_code_needs_no_ending(toolchain, tmp_path):
    with pytest.raises(WorkerFailed, match="exit code 3"):
        job(toolchain, tmp_path, "raise SystemExit(3)\n")
    assert not (tmp_path / "ended").exists()
