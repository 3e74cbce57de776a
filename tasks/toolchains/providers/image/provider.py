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
from artifacts.progress import Say
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
    end_command,
    inspect_command,
    list_command,
    pull_command,
)
from tasks.toolchains.providers.image.launcher import ContainerLauncher, client_environment
from tasks.toolchains.providers.image.names import left_behind, prefix
from tasks.toolchains.providers.interface import Provider, ToolchainRequest
from tasks.toolchains.providers.smoke import smoke_program, torch_build
from tasks.toolchains.records import NotInstalled, Toolchain
from tasks.toolchains.run import Supervised, failure, job_environment

CLIENTS: tuple[Dialect, ...] = ("podman", "docker")
ASK_LIMIT_S = 60.0
PULL_LIMIT_S = 4 * 3600.0
IMPORT_LIMIT_S = 1800.0
NO_DIGEST = (
    "{!r} does not identify an image, as a tag may lead to another one later; podman pull {}, then name "
    "what podman image inspect --format '{{{{index .RepoDigests 0}}}}' {} prints (the same with docker)"
)


class ImageTable(Frozen):
    """The setting that selects an image."""

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


class ImageContents(Frozen):
    """What an image was found to hold; the contents of a digest never change, so it is inspected once."""

    facts: Facts
    torch: TorchBuild | None


class ImageProvider(Provider):
    """Runs programs in containers of one image."""

    name = "image"
    key = "image"

    def obstacles(self, request: ToolchainRequest) -> tuple[Obstacle, ...]:
        """What the host lacks (driver, client) and, once inspected, the image (it has to hold the tool)."""
        table = request.read(ImageTable)
        client = _client(table)
        found = (*driver_obstacles(request.declared), *((client,) if isinstance(client, Obstacle) else ()))
        contents = _known_contents(request, table)
        return (*found, *(_unfit(request, table, contents) if contents else ()))

    def status(self, request: ToolchainRequest) -> Toolchain | NotInstalled:
        """The toolchain, if the image is on this host and was inspected."""
        table = request.read(ImageTable)
        client, contents = _client(table), _known_contents(request, table)
        usable = not isinstance(client, Obstacle) and _is_here(client, table)
        if usable and contents and not _unfit(request, table, contents) and isinstance(client, Client):
            return _toolchain(request, table, client, contents)
        begun = f"{table.image} was not inspected yet" if usable else f"{table.image} is not on this host yet"
        fix = f"enginery toolchain install {request.declared.name}"
        return NotInstalled.because(request.declared.name, self.obstacles(request), otherwise=(begun, fix))

    def ensure(self, request: ToolchainRequest, say: Say) -> Toolchain:
        """The toolchain: the image is pulled unless it is here, and inspected once.

        Containers whose owners are gone are removed: they may still occupy GPUs.
        """
        table = request.read(ImageTable)
        client, contents = _client(table), _known_contents(request, table)
        if isinstance(client, Obstacle):
            raise unavailable(request.declared.name, self.obstacles(request))
        for name in left_behind(_ask(list_command(client, prefix())).stdout.split()):
            say(f"{request.declared.name}: removing {name}, whose owner is gone")
            _ask(end_command(client, name))
        if not _is_here(client, table):
            say(f"{request.declared.name}: pulling {table.image}")
            _pull(request, table, client, say)
        if contents is None:
            say(f"{request.declared.name}: inspecting what {table.image} holds")
            contents = _look(request, table, client)
        if found := _unfit(request, table, contents):
            raise unavailable(request.declared.name, found)
        return _toolchain(request, table, client, contents)


def _client(table: ImageTable) -> Client | Obstacle:
    names = (table.client,) if table.client else CLIENTS
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        reason = f"images need podman or docker, and there is no {' or '.join(names)} on PATH"
        return Obstacle(
            reason=reason, fix='apt install podman, or name the client: client = "/path/to/podman"'
        )
    done = _ask((found, "--version"))
    # A program named docker may be podman.
    said = done.stdout.lower()
    dialect = next((name for name in CLIENTS if name in said), None)
    if dialect is None:
        what = (done.stdout + done.stderr).strip().partition("\n")[0]
        return Obstacle(
            reason=f"{found} is neither podman nor docker; it printed: {what}", fix="name another client"
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


def _pull(request: ToolchainRequest, table: ImageTable, client: Client, say: Say) -> None:
    launch = Launch(pull_command(client, table.image), client_environment(os.environ))
    _supervised(request, table, launch, PULL_LIMIT_S, say)


def _look(request: ToolchainRequest, table: ImageTable, client: Client) -> ImageContents:
    """Ask the image's interpreter what it holds, and import the tool; remembered for this digest."""
    container = _container(request, table, client)
    bare = _bare(request, table, ContainerLauncher(container=container))

    answer = container.home / "answer"

    def ask(program: str, *arguments: str) -> str:
        # Not from the client's output, whose lines are truncated for logs.
        into_file = f"import sys\nsys.stdout = open({str(answer)!r}, 'w')\n{program}\nsys.stdout.close()"
        argv = (table.interpreter, "-c", into_file, *arguments)
        asked = Program(argv, job_environment(bare, {}, os.environ), gpus=_all_gpus(request))
        _supervised(request, table, bare.launcher.launch(asked), IMPORT_LIMIT_S, lambda _: None)
        return answer.read_text(encoding="utf-8").rstrip("\n").rpartition("\n")[2]

    try:
        facts = Facts.model_validate_json(ask(PROBE, *request.declared.programs))
    except ValidationError as error:
        what = f"{table.interpreter} of {table.image} does not report what it holds"
        raise ToolchainUnavailable(
            what, where=request.source, fix="name its Python: interpreter = ..."
        ) from error
    if found := (*facts_obstacles(request.declared, facts, table.image), *_missing(request, table, facts)):
        raise unavailable(request.declared.name, found)
    contents = ImageContents(facts=facts, torch=torch_build(ask(smoke_program(request.declared))))
    _memory(request, table).write_text(contents.model_dump_json(), encoding="utf-8")
    return contents


def _supervised(
    request: ToolchainRequest, table: ImageTable, launch: Launch, limit_s: float, on_line: Say
) -> None:
    """Run a command of the client to its end."""
    log = _root(request, table) / "install.log"
    with Supervised(launch.argv, env=launch.env, log=log, time_limit_s=limit_s, end=launch.end) as process:
        for line in process.lines():
            on_line(line)
        ending = process.ending()
    if error := failure(f"{Path(launch.argv[0]).name} {launch.argv[1]}", process, ending, limit_s):
        raise _explained(error, table)


def _explained(error: TaskError, table: ImageTable) -> TaskError:
    fix = f"try it by hand: the log has the command's output; {error.fix}" if error.fix else ""
    return ToolchainInstallFailed(f"{error.what} ({table.image})", where=error.where, fix=fix)


def _unfit(request: ToolchainRequest, table: ImageTable, contents: ImageContents) -> tuple[Obstacle, ...]:
    return (
        *facts_obstacles(request.declared, contents.facts, table.image),
        *_missing(request, table, contents.facts),
        *torch_obstacles(request.declared, contents.torch, table.image),
    )


def _missing(request: ToolchainRequest, table: ImageTable, facts: Facts) -> Iterator[Obstacle]:
    """The programs that the tool needs and the image lacks; the host's own do not replace them."""
    if missing := [name for name in request.declared.programs if name not in facts.tools]:
        reason = f"toolchain {request.declared.name} needs {', '.join(missing)}, and {table.image} has none"
        yield Obstacle(reason=reason, fix="use an image that has it, or build one on top of this one")


def _all_gpus(request: ToolchainRequest) -> tuple[str, ...]:
    """The GPUs that importing a GPU tool may need to see."""
    found = probe_gpus()
    if request.declared.accelerator == "cpu" or isinstance(found, NoGpus):
        return ()
    return tuple(gpu.uuid for gpu in found.gpus)


def _container(
    request: ToolchainRequest, table: ImageTable, client: Client, search_path: str = ""
) -> Container:
    home = _root(request, table)
    home.mkdir(parents=True, exist_ok=True)
    return Container(
        client=client,
        image=table.image,
        user=User(uid=os.getuid(), gid=os.getgid()),
        home=home,
        search_path=search_path,
    )


def _bare(request: ToolchainRequest, table: ImageTable, launcher: ContainerLauncher) -> Toolchain:
    """What is known about it before it is inspected."""
    return Toolchain(
        name=request.declared.name,
        provider=ImageProvider.name,
        adopted=True,
        place=table.image,
        root=_root(request, table),
        python=Path(table.interpreter),
        bin_dir=Path("/"),
        launcher=launcher,
        accelerator=request.declared.accelerator,
        identity="",
        versions={},
        env=request.declared.env,
        tool_env=request.settings.tool_env,
        temporary_dir=request.settings.home / "tmp",
    )


def _toolchain(
    request: ToolchainRequest, table: ImageTable, client: Client, contents: ImageContents
) -> Toolchain:
    facts, versions = contents.facts, contents.facts.normalised()
    search_path = ":".join(dict.fromkeys([str(facts.programs), *facts.search_path.split(":")]))
    launcher = ContainerLauncher(container=_container(request, table, client, search_path))
    known = {
        "identity": _identity(request, table, facts),
        "python": facts.executable,
        "bin_dir": facts.programs,
        "versions": versions,
        "differences": differences(request.declared, versions),
    }
    return _bare(request, table, launcher).model_copy(update=known)


def _identity(request: ToolchainRequest, table: ImageTable, facts: Facts) -> str:
    """The digest of the image, and of which of its packages are used: it may have several interpreters."""
    return digest_of(
        {
            "provider": ImageProvider.name,
            "name": request.declared.name,
            "image": table.digest,
            "python": facts.python,
            "packages": [str(path) for path in facts.paths],
            "env": request.declared.env,
        }
    )


def _known_contents(request: ToolchainRequest, table: ImageTable) -> ImageContents | None:
    try:
        return ImageContents.model_validate_json(_memory(request, table).read_bytes())
    except FileNotFoundError:
        return None


def _memory(request: ToolchainRequest, table: ImageTable) -> Path:
    return _root(request, table) / f"image-{table.interpreter.replace('/', '_')}.json"


def _root(request: ToolchainRequest, table: ImageTable) -> Path:
    return request.settings.toolchains_dir / f"{request.declared.name}-image-{table.digest[:16]}"
