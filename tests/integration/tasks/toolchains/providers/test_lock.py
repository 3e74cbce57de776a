"""Installing: from nothing, twice at once, after a kill, and with wheels that are not what the lock names."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.toolchains.wheels import lock_line, make_source, make_wheel, simple_index

from artifacts.settings import Settings
from tasks.errors import ToolchainCorrupt, ToolchainInstallFailed, ToolchainUnavailable
from tasks.toolchains import Worker, ensure, run_job, status
from tasks.toolchains.declarations import Declaration, TorchBuild, WheelRequirement
from tasks.toolchains.providers.lock import install
from tasks.toolchains.providers.lock.content import read_content
from tasks.toolchains.providers.lock.install import ensure_declared
from tasks.toolchains.providers.lock.installation import MARKER
from tasks.toolchains.providers.lock.wheelhouse import require_intact

PYTHON = f"3.{sys.version_info.minor}"
MANY_FILES = {f"many/m{number}.py": f"VALUE = {number}\n" for number in range(500)}
OWNER = """
import sys
from pathlib import Path
from artifacts.settings import Settings
from tasks.toolchains.declarations import Declaration
from tasks.toolchains.providers.lock.install import ensure_declared
declared = Declaration.model_validate_json(sys.argv[1])
settings = Settings(toolchains_dir=sys.argv[2])
toolchain = ensure_declared(declared, settings, lambda line: print(line, flush=True))
print(toolchain.model_dump_json(), flush=True)
"""


class Index:
    """A folder of wheels, and declarations of toolchains made from it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.wheels = [
            make_wheel(directory, "alpha", "1.0", {"alpha/__init__.py": "NAME = 'alpha'\n"}),
            make_wheel(directory, "many", "2.1", {"many/__init__.py": ""} | MANY_FILES),
        ]

    def declare(
        self,
        *,
        torch: TorchBuild | None = None,
        smoke: str = "import alpha, many",
        wheelhouse: tuple[WheelRequirement, ...] = (),
    ) -> Declaration:
        lock = self.directory / "lock.txt"
        lock.write_text("# a comment\n" + "".join(map(lock_line, self.wheels)))
        return Declaration(
            name="tiny", purpose="Tests.", tool="alpha", accelerator="cpu", machine="x86_64",
            python=PYTHON, lock=lock.name, lock_path=lock, torch=torch, wheelhouse=wheelhouse,
            approximate_bytes=1000, smoke=smoke,
        )  # fmt: skip


@pytest.fixture
def index(tmp_path, monkeypatch):
    directory = tmp_path / "wheels"
    directory.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return Index(directory)


@pytest.fixture
def toolchains(tmp_path):
    return Settings(home=tmp_path / "home", toolchains_dir=tmp_path / "toolchains")


def owner(declared, settings):
    command = [sys.executable, "-c", OWNER, declared.model_dump_json(), str(settings.toolchains_dir)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_processes_at_once_install_once_and_agree(index, toolchains):
    declared = index.declare()
    owners = [owner(declared, toolchains) for _ in range(2)]
    said = [process.communicate(timeout=300)[0].splitlines() for process in owners]
    one, other = (json.loads(lines[-1]) for lines in said)
    assert one == other
    assert sum(any("2 packages" in line for line in lines) for lines in said) == 1
    assert one["versions"] == {"alpha": "1.0", "many": "2.1"}
    held = read_content(Path(one["root"]) / "lib" / f"python{declared.python}" / "site-packages")
    assert held.keys() == {"alpha", "many"}
    assert (
        Path(one["root"]) / "lib" / f"python{declared.python}" / "site-packages/alpha/__pycache__"
    ).is_dir()


@pytest.mark.parametrize("seen", ["tiny: 2 packages by uv\n", "tiny: compiling byte code\n"])
def test_kill_in_the_middle_is_completed_and_identity_does_not_depend_on_the_way(
    index, toolchains, tmp_path, seen
):
    declared = index.declare()
    with owner(declared, toolchains) as process:
        assert any(line == seen for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    (root,) = toolchains.toolchains_dir.glob("tiny-*")
    assert not (root / MARKER).exists()
    (root / "left-behind").touch()
    lines = []
    completed = ensure_declared(declared, toolchains, lines.append)
    assert any("an installation was not finished" in line for line in lines)
    assert completed.root == root
    assert not (root / "left-behind").exists()
    other = Settings(home=tmp_path / "home", toolchains_dir=tmp_path / "other")
    elsewhere = ensure_declared(declared, other, lines.append)
    assert elsewhere.identity == completed.identity
    assert elsewhere.root != completed.root
    silent = []
    assert ensure_declared(declared, toolchains, silent.append) == completed
    assert silent == []


def test_wheel_with_another_hash_is_refused(index, toolchains):
    declared = index.declare()
    make_wheel(index.directory, "alpha", "1.0", {"alpha/__init__.py": "NAME = 'evil'\n"})
    with pytest.raises(ToolchainCorrupt, match="none of the hashes") as raised:
        ensure_declared(declared, toolchains, print)
    assert raised.value.exit_code == 6
    assert not list(toolchains.toolchains_dir.glob(f"*/{MARKER}"))


def test_what_has_only_sources_is_not_built(index, toolchains):
    """The index has it, and building it would leave a file."""
    declared = index.declare()
    proof = index.directory / "was-built"
    setup = f"open({str(proof)!r}, 'w'); from setuptools import setup; setup(name='alpha', version='1.0')"
    next(index.directory.glob("alpha-*.whl")).unlink()
    source = make_source(index.directory, "alpha", "1.0", {"setup.py": setup})
    text = declared.lock_path.read_text()
    pin = f"alpha==1.0 --hash=sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}\n"
    declared.lock_path.write_text(pin + text[text.index("many==") :])
    with pytest.raises(ToolchainUnavailable, match=r"finds no build of alpha==1\.0"):
        ensure_declared(declared, toolchains, print)
    assert not proof.exists()


def test_the_users_settings_of_uv_do_not_change_what_is_installed(index, toolchains, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("UV_NO_VERIFY_HASHES", "1")
    monkeypatch.setenv("UV_REQUIRE_HASHES", "1")
    lie = "__version__ = '2.13.0+cpu'\nclass version:\n    cuda = None\n"
    make_wheel(index.directory, "torch", "2.13.0+cpu", {"torch/__init__.py": lie})
    declared = index.declare(torch=TorchBuild(version="2.13.0+cpu", cuda=None))
    assert ensure_declared(declared, toolchains, print).versions["torch"] == "2.13.0+cpu"
    assert not (tmp_path / "elsewhere").exists()


def test_the_second_of_two_indexes_serves_what_the_first_has_in_other_bytes(
    index, toolchains, tmp_path, monkeypatch
):
    """Hashes say which file it is; by itself uv asks the first index that knows the name, and no other."""
    declared = index.declare()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    other = make_wheel(tmp_path, "alpha", "1.0.1", {"alpha/__init__.py": "NAME = 'other'\n"})
    first = simple_index(tmp_path / "first", [other])
    second = simple_index(tmp_path / "second", index.wheels)
    monkeypatch.setenv("PIP_INDEX_URL", second)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", first)
    assert ensure_declared(declared, toolchains, print).versions == {"alpha": "1.0", "many": "2.1"}


def test_missing_build_of_torch_names_the_settings_of_pip_and_uv(index, toolchains):
    declared = index.declare(torch=TorchBuild(version="2.13.0+cpu", cuda=None))
    make_wheel(index.directory, "torch", "2.13.0", {"torch/__init__.py": ""})
    with pytest.raises(ToolchainUnavailable, match=r"no build of torch==2\.13\.0\+cpu") as raised:
        ensure_declared(declared, toolchains, print)
    for setting in ("PIP_EXTRA_INDEX_URL", "UV_INDEX", "PIP_FIND_LINKS", "UV_FIND_LINKS"):
        assert setting in raised.value.fix


def test_torch_of_another_accelerator_is_refused(index, toolchains):
    lie = "__version__ = '2.13.0+cpu'\nclass version:\n    cuda = '13.0'\n"
    make_wheel(index.directory, "torch", "2.13.0+cpu", {"torch/__init__.py": lie})
    declared = index.declare(torch=TorchBuild(version="2.13.0+cpu", cuda=None))
    with pytest.raises(ToolchainUnavailable, match=r"CUDA 13\.0"):
        ensure_declared(declared, toolchains, print)


CUDA_TORCH = "__version__ = '2.13.0+cu130'\nclass version:\n    cuda = '13.0'\n"
TORCH_13 = TorchBuild(version="2.13.0", cuda="13.0")
RARE = WheelRequirement(name="rare", version="~=1.2", source="its maker")


@pytest.fixture
def wheelhouse(tmp_path, toolchains):
    """A directory with one wheel and its digest, and settings that name it."""
    directory = tmp_path / "wheelhouse"
    directory.mkdir()
    wheel = make_wheel(directory, "rare", "1.2.3", {"rare/__init__.py": "NAME = 'rare'\n"})
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (directory / "SHA256SUMS").write_text(f"{digest}  {wheel.name}\n")
    return toolchains.model_copy(update={"wheelhouse": directory})


def test_index_lock_with_a_cuda_build_and_the_wheelhouse_make_one_toolchain(index, wheelhouse):
    index.wheels.append(make_wheel(index.directory, "torch", "2.13.0", {"torch/__init__.py": CUDA_TORCH}))
    make_wheel(index.directory, "rare", "1.2.4", {"rare/__init__.py": "NAME = 'of the index'\n"})
    smoke = "import rare; assert rare.NAME == 'rare'"
    declared = index.declare(torch=TORCH_13, smoke=smoke, wheelhouse=(RARE,))
    installed = ensure_declared(declared, wheelhouse, print)
    assert installed.versions == {"alpha": "1.0", "many": "2.1", "rare": "1.2.3", "torch": "2.13.0"}
    record = json.loads((installed.root / MARKER).read_text())
    assert record["torch"] == {"version": "2.13.0+cu130", "cuda": "13.0"}
    elsewhere = wheelhouse.model_copy(update={"wheelhouse": None})
    assert ensure_declared(declared, elsewhere, print) == installed


@pytest.mark.parametrize(
    ("damage", "error", "reported"),
    [
        (lambda it: next(it.glob("*.whl")).write_bytes(b"other"), ToolchainCorrupt, "has the digest"),
        (lambda it: next(it.glob("*.whl")).unlink(), ToolchainUnavailable, "no file of rare"),
        (lambda it: (it / "SHA256SUMS").write_text(""), ToolchainUnavailable, "is not listed"),
        (lambda it: (it / "SHA256SUMS").unlink(), ToolchainUnavailable, "not a directory with a SHA256SUMS"),
    ],
)
def test_wheelhouse_that_is_not_right_is_refused_before_anything_is_installed(
    index, wheelhouse, damage, error, reported
):
    damage(wheelhouse.wheelhouse)
    with pytest.raises(error, match=reported):
        ensure_declared(index.declare(wheelhouse=(RARE,)), wheelhouse, print)
    assert not list(wheelhouse.toolchains_dir.glob("tiny-*"))


def test_wheel_that_changes_after_it_was_checked_is_refused_by_uv(index, wheelhouse, monkeypatch):
    def changed_afterwards(chosen):
        require_intact(chosen)
        make_wheel(wheelhouse.wheelhouse, "rare", "1.2.3", {"rare/__init__.py": "NAME = 'evil'\n"})

    monkeypatch.setattr(install, "require_intact", changed_afterwards)
    with pytest.raises(ToolchainCorrupt, match="none of the hashes"):
        ensure_declared(index.declare(wheelhouse=(RARE,)), wheelhouse, print)
    assert not list(wheelhouse.toolchains_dir.glob(f"*/{MARKER}"))


def test_tool_that_cannot_be_imported_is_no_installation(index, toolchains):
    with pytest.raises(ToolchainInstallFailed) as raised:
        ensure_declared(index.declare(smoke="import beta"), toolchains, print)
    assert "No module named 'beta'" in raised.value.where
    assert not list(toolchains.toolchains_dir.glob(f"*/{MARKER}"))


@pytest.mark.toolchain
def test_the_serving_toolchain_runs_torch_on_the_cpu(tmp_path, request_to):
    """Installed into the user's own directory, or found there."""
    settings = Settings()
    toolchain = ensure("aot-serve-cpu", settings)
    assert status("aot-serve-cpu", settings) == toolchain
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, sys, numpy, tokenizers, torch\n"
        "assert torch.version.cuda is None\n"
        "total = float(torch.ones(3) @ torch.from_numpy(numpy.ones(3, 'float32')))\n"
        "answer = {'ok': True, 'metrics': {'total': total}, 'tools': {'torch': torch.__version__}}\n"
        "json.dump(answer, open(sys.argv[2], 'w'))\n"
    )
    outcome = run_job(
        toolchain,
        Worker(module="worker", import_path=tmp_path),
        request_to("x"),
        log=tmp_path / "log",
        on_line=print,
        time_limit_s=300,
    )
    assert outcome.metrics == {"total": 3.0}
    assert outcome.tools == {"torch": "2.13.0+cpu"} == {"torch": toolchain.versions["torch"]}
