"""The provider of toolchains in container images."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from artifacts.canonical import digest_of
from artifacts.frozen import Frozen
from artifacts.hosts import NoGpus, probe_gpus
from tasks.errors import TaskError, ToolchainInstallFailed, ToolchainUnavailable
from tasks.toolchains.declarations import TorchBuild
from tasks.toolchains.host_checks import Obstacle, driver_obstacles, unavailable
from tasks.toolchains.launcher import Launch, Program
from tasks.toolchains.providers.facts import PROBE, Facts, differences, facts_obstacles, torch_obstacles
from tasks.toolchains.providers.image.commands import (
    REFERENCE,
    Client,
    Container,
    Dialect,
    User,
    inspect_command,
    pull_command,
)
from tasks.toolchains.providers.image.launcher import ContainerLauncher, client_environment
from tasks.toolchains.providers.interface import OnProgress, Provider, Wanted
from tasks.toolchains.providers.smoke import smoke_program, torch_build
from tasks.toolchains.records import NotInstalled, Toolchain
from tasks.toolchains.run.environment import job_environment
from tasks.toolchains.run.exit_status import failure
from tasks.toolchains.run.supervised import Supervised

CLIENTS: tuple[Dialect, ...] = ("podman", "docker")
ASK_LIMIT_S = 60.0
PULL_LIMIT_S = 4 * 3600.0
IMPORT_LIMIT_S = 1800.0
NO_DIGEST = (
    "{!r} does not say which image it is, as a tag may lead to another one later; podman pull {}, then give "
    "what podman image inspect --format '{{{{index .RepoDigests 0}}}}' {} prints (docker alike)"
)


class ImageTable(Frozen):
    """What chooses an image."""

    image: str = Field(description="NAME@sha256:DIGEST.")
    client: str | None = Field(
        default=None, description="Name or path of podman or docker; by default the first that PATH has."
    )
    interpreter: str = Field(default="python3", description="The interpreter inside, by name or path.")

    @field_validator("image")
    @classmethod
    def _has_digest(cls, image: str) -> str:
        if not REFERENCE.fullmatch(image):
            name = image.partition("@")[0]
            raise ValueError(NO_DIGEST.format(image, name, name))
        return image

    @property
    def digest(self) -> str:
        """The image's digest, 64 hex digits."""
        return self.image.rpartition(":")[2]


class Seen(Frozen):
    """What an image turned out to hold; a digest's contents never change, so it is looked at once."""

    facts: Facts
    torch: TorchBuild | None


class ImageProvider(Provider):
    """Runs programs in containers of one image."""

    name = "image"
    key = "image"

    def obstacles(self, wanted: Wanted) -> tuple[Obstacle, ...]:
        """Of the host: driver and client. Of the image, once it was looked at: that it holds the tool."""
        table = wanted.read(ImageTable)
        client = _client(table)
        found = (*driver_obstacles(wanted.declared), *((client,) if isinstance(client, Obstacle) else ()))
        seen = _seen(wanted, table)
        return (*found, *(_unfit(wanted, table, seen) if seen else ()))

    def status(self, wanted: Wanted) -> Toolchain | NotInstalled:
        """The toolchain, where the image is here and was looked at."""
        table = wanted.read(ImageTable)
        client, seen = _client(table), _seen(wanted, table)
        usable = not isinstance(client, Obstacle) and _is_here(client, table)
        if usable and seen and not _unfit(wanted, table, seen) and isinstance(client, Client):
            return _toolchain(wanted, table, client, seen)
        begun = f"{table.image} was not looked at yet" if usable else f"{table.image} is not on this host yet"
        fix = f"enginery toolchain install {wanted.declared.name}"
        return NotInstalled.because(wanted.declared.name, self.obstacles(wanted), otherwise=(begun, fix))

    def ensure(self, wanted: Wanted, on_progress: OnProgress) -> Toolchain:
        """Pull the image unless it is here, and look at what it holds once."""
        table = wanted.read(ImageTable)
        client, seen = _client(table), _seen(wanted, table)
        if isinstance(client, Obstacle):
            raise unavailable(wanted.declared.name, self.obstacles(wanted))
        if not _is_here(client, table):
            on_progress(f"{wanted.declared.name}: pulling {table.image}")
            _pull(wanted, table, client, on_progress)
        if seen is None:
            on_progress(f"{wanted.declared.name}: looking at what {table.image} holds")
            seen = _look(wanted, table, client)
        if found := _unfit(wanted, table, seen):
            raise unavailable(wanted.declared.name, found)
        return _toolchain(wanted, table, client, seen)


def _client(table: ImageTable) -> Client | Obstacle:
    names = (table.client,) if table.client else CLIENTS
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        reason = f"images are run with podman or docker, and there is no {' or '.join(names)} on PATH"
        return Obstacle(
            reason=reason, fix='apt install podman, or name the client: client = "/path/to/podman"'
        )
    done = _ask((found, "--version"))
    # A program that is named docker may be podman.
    said = done.stdout.lower()
    dialect = next((name for name in CLIENTS if name in said), None)
    if dialect is None:
        what = (done.stdout + done.stderr).strip().partition("\n")[0]
        return Obstacle(
            reason=f"{found} is neither podman nor docker; it says: {what}", fix="name another client"
        )
    return Client(path=Path(found), dialect=dialect)


def _is_here(client: Client, table: ImageTable) -> bool:
    return _ask(inspect_command(client, table.image)).returncode == 0


def _ask(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    env = client_environment(os.environ)
    try:
        return subprocess.run(
            command, env=env, check=False, text=True, capture_output=True, timeout=ASK_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _pull(wanted: Wanted, table: ImageTable, client: Client, on_progress: OnProgress) -> None:
    launch = Launch(pull_command(client, table.image), client_environment(os.environ))
    _supervised(wanted, table, launch, PULL_LIMIT_S, on_progress)


def _look(wanted: Wanted, table: ImageTable, client: Client) -> Seen:
    """Ask the image's interpreter what it holds, and import the tool; remembered for this digest."""
    container = _container(wanted, table, client)
    bare = _bare(wanted, table, ContainerLauncher(container=container))

    answer = container.home / "answer"

    def ask(program: str, *arguments: str) -> str:
        # Not from the client's output, whose lines are cut for logs.
        into_file = f"import sys\nsys.stdout = open({str(answer)!r}, 'w')\n{program}\nsys.stdout.close()"
        argv = (table.interpreter, "-c", into_file, *arguments)
        asked = Program(argv, job_environment(bare, {}, os.environ), gpus=_all_gpus(wanted))
        _supervised(wanted, table, bare.launcher.launch(asked), IMPORT_LIMIT_S, lambda _: None)
        return answer.read_text(encoding="utf-8").rstrip("\n").rpartition("\n")[2]

    try:
        facts = Facts.model_validate_json(ask(PROBE, *wanted.declared.programs))
    except ValidationError as error:
        what = f"{table.interpreter} of {table.image} does not say what it holds"
        raise ToolchainUnavailable(
            what, where=wanted.source, fix="name its Python: interpreter = ..."
        ) from error
    if found := (*facts_obstacles(wanted.declared, facts, table.image), *_missing(wanted, table, facts)):
        raise unavailable(wanted.declared.name, found)
    seen = Seen(facts=facts, torch=torch_build(ask(smoke_program(wanted.declared))))
    _memory(wanted, table).write_text(seen.model_dump_json(), encoding="utf-8")
    return seen


def _supervised(
    wanted: Wanted, table: ImageTable, launch: Launch, limit_s: float, on_line: OnProgress
) -> None:
    """Run a command of the client to its end."""
    log = _root(wanted, table) / "install.log"
    with Supervised(launch.argv, env=launch.env, log=log, time_limit_s=limit_s, end=launch.end) as process:
        for line in process.lines():
            on_line(line)
        ending = process.ending()
    if error := failure(f"{Path(launch.argv[0]).name} {launch.argv[1]}", process, ending, limit_s):
        raise _explained(error, table)


def _explained(error: TaskError, table: ImageTable) -> TaskError:
    fix = f"try it by hand: the log has the command's own words; {error.fix}" if error.fix else ""
    return ToolchainInstallFailed(f"{error.what} ({table.image})", where=error.where, fix=fix)


def _unfit(wanted: Wanted, table: ImageTable, seen: Seen) -> tuple[Obstacle, ...]:
    return (
        *facts_obstacles(wanted.declared, seen.facts, table.image),
        *_missing(wanted, table, seen.facts),
        *torch_obstacles(wanted.declared, seen.torch, table.image),
    )


def _missing(wanted: Wanted, table: ImageTable, facts: Facts) -> Iterator[Obstacle]:
    """Programs that the tool works with, which the host's own do not replace."""
    if missing := [name for name in wanted.declared.programs if name not in facts.tools]:
        reason = f"toolchain {wanted.declared.name} needs {', '.join(missing)}, and {table.image} has none"
        yield Obstacle(reason=reason, fix="use an image that has it, or build one on top of this one")


def _all_gpus(wanted: Wanted) -> tuple[str, ...]:
    """What importing a tool for GPUs may need to see."""
    found = probe_gpus()
    if wanted.declared.accelerator == "cpu" or isinstance(found, NoGpus):
        return ()
    return tuple(gpu.uuid for gpu in found.gpus)


def _container(wanted: Wanted, table: ImageTable, client: Client, search_path: str = "") -> Container:
    home = _root(wanted, table)
    home.mkdir(parents=True, exist_ok=True)
    return Container(
        client=client,
        image=table.image,
        user=User(uid=os.getuid(), gid=os.getgid()),
        home=home,
        search_path=search_path,
    )


def _bare(wanted: Wanted, table: ImageTable, launcher: ContainerLauncher) -> Toolchain:
    """What is known of it before it was looked at."""
    return Toolchain(
        name=wanted.declared.name,
        provider=ImageProvider.name,
        adopted=True,
        place=table.image,
        root=_root(wanted, table),
        python=Path(table.interpreter),
        bin_dir=Path("/"),
        launcher=launcher,
        accelerator=wanted.declared.accelerator,
        identity=digest_of(
            {
                "provider": ImageProvider.name,
                "name": wanted.declared.name,
                "image": table.digest,
                "env": wanted.declared.env,
            }
        ),
        versions={},
        env=wanted.declared.env,
        tool_env=wanted.settings.tool_env,
        temporary_dir=wanted.settings.home.absolute() / "tmp",
    )


def _toolchain(wanted: Wanted, table: ImageTable, client: Client, seen: Seen) -> Toolchain:
    facts, versions = seen.facts, seen.facts.normalised()
    search_path = ":".join(dict.fromkeys([str(facts.programs), *facts.search_path.split(":")]))
    launcher = ContainerLauncher(container=_container(wanted, table, client, search_path))
    known = {
        "python": facts.executable,
        "bin_dir": facts.programs,
        "versions": versions,
        "differences": differences(wanted.declared, versions),
    }
    return _bare(wanted, table, launcher).model_copy(update=known)


def _seen(wanted: Wanted, table: ImageTable) -> Seen | None:
    try:
        return Seen.model_validate_json(_memory(wanted, table).read_bytes())
    except FileNotFoundError:
        return None


def _memory(wanted: Wanted, table: ImageTable) -> Path:
    return _root(wanted, table) / f"image-{table.interpreter.replace('/', '_')}.json"


def _root(wanted: Wanted, table: ImageTable) -> Path:
    return wanted.settings.toolchains_dir.absolute() / f"{wanted.declared.name}-image-{table.digest[:16]}"
