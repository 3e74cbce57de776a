"""What a job sees of the environment."""

from pathlib import Path

from tasks.toolchains import Toolchain
from tasks.toolchains.run import job_environment


def test_job_environment_is_an_allow_list():
    toolchain = Toolchain(
        name="t", root=Path("/t"), python=Path("/t/bin/python"), bin_dir=Path("/t/bin"), identity="0" * 64,
        versions={}, env={"TOOL": "1"}, program_dirs=(Path("/opt/cc/bin"),),
    )  # fmt: skip
    source = {
        "HOME": "/h",
        "HF_TOKEN": "s",
        "AWS_PROFILE": "s",
        "PATH": "/evil",
        "OMP_NUM_THREADS": "2",
        "PYTHONPATH": "s",
    }
    made = job_environment(toolchain, {"HF_HUB_OFFLINE": "0", "EXTRA": "e"}, source)
    assert made["PATH"] == "/t/bin:/opt/cc/bin:/usr/local/bin:/usr/bin:/bin"
    assert (made["HOME"], made["OMP_NUM_THREADS"], made["TOOL"], made["EXTRA"]) == ("/h", "2", "1", "e")
    assert made["HF_HUB_OFFLINE"] == "0"
    assert "s" not in made.values()


def test_declared_threads_leave_a_processor_free_unless_the_user_says_otherwise(monkeypatch):
    toolchain = Toolchain(
        name="t", root=Path("/t"), python=Path("/p"), bin_dir=Path("/b"), identity="0" * 64, versions={},
        env={"OMP_NUM_THREADS": "{spare_processors}"},
    )  # fmt: skip
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert job_environment(toolchain, {}, {})["OMP_NUM_THREADS"] == "3"
    assert job_environment(toolchain, {}, {"OMP_NUM_THREADS": "2"})["OMP_NUM_THREADS"] == "2"
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert job_environment(toolchain, {}, {})["OMP_NUM_THREADS"] == "1"


def toolchain(**changes) -> Toolchain:
    return Toolchain(
        name="t",
        root=Path("/t"),
        python=Path("/p"),
        bin_dir=Path("/b"),
        identity="0" * 64,
        versions={},
        **changes,
    )


def test_what_the_user_hands_to_tools_reaches_them_over_what_is_declared():
    found = job_environment(toolchain(env={"NCCL_DEBUG": "WARN"}, tool_env={"NCCL_DEBUG": "INFO"}), {}, {})
    assert found["NCCL_DEBUG"] == "INFO"
    assert job_environment(toolchain(), {}, {"NCCL_DEBUG": "INFO"}).get("NCCL_DEBUG") is None


def test_paths_of_python_that_both_sides_name_are_joined():
    """A worker's own packages come before those that lie next to an adopted interpreter."""
    adopted = toolchain(env={"PYTHONPATH": "/more"})
    assert job_environment(adopted, {"PYTHONPATH": "/workers"}, {})["PYTHONPATH"] == "/workers:/more"
    assert job_environment(adopted, {}, {"PYTHONPATH": "/users"})["PYTHONPATH"] == "/more"
    assert "PYTHONPATH" not in job_environment(toolchain(), {}, {"PYTHONPATH": "/users"})
