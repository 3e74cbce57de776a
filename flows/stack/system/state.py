"""The state of the stack that is kept between commands: directories, processes, ports."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from artifacts.disk import write_atomically
from artifacts.frozen import Frozen
from flows.errors import FlowError


class Component(Frozen):
    """One daemon as it was started."""

    name: str = Field(description="object-store, prefect-server or worker.")
    pid: int | None = Field(
        default=None, description="Process id; null between the decision to start and the start."
    )
    birth: str = Field(default="", description="Boot and clock tick at which the process was created.")
    url: str = Field(description="Address at which it answers.")
    log: str = Field(description="File with its output.")
    program: str = Field(default="", description="The interpreter, or the program, that it was started with.")
    uses: dict[str, str] = Field(
        default_factory=dict,
        description="Addresses, fingerprints of credentials, and versions, that it was started with.",
    )


class StackState(Frozen):
    """The record of the stack."""

    components: dict[str, Component] = Field(default_factory=dict, description="Daemons by name.")
    ports: dict[str, int] = Field(
        default_factory=dict, description="Ports by use; kept after `down`, so that addresses stay the same."
    )
    deployed: str = Field(default="", description="Digest of what was last deployed to the Prefect server.")

    def with_component(self, component: Component) -> "StackState":
        """Return the same state with one daemon recorded or replaced."""
        return self.model_copy(update={"components": {**self.components, component.name: component}})

    def without(self, name: str) -> "StackState":
        """Return the same state without one daemon."""
        rest = {key: value for key, value in self.components.items() if key != name}
        return self.model_copy(update={"components": rest})


@dataclass(frozen=True, slots=True)
class StackPaths:
    """The files and directories of the stack, all below one directory."""

    root: Path

    @classmethod
    def below(cls, home: Path) -> "StackPaths":
        """Return the paths of the stack in the state directory of this host."""
        return cls(home.resolve() / "stack")

    @property
    def state_file(self) -> Path:
        """The record of the stack."""
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        """The lock that a command holds while it changes the stack."""
        return self.root / "lock"

    @property
    def credentials_file(self) -> Path:
        """Credentials of the S3 server, in SeaweedFS's format; readable only by their owner."""
        return self.root / "s3.json"

    @property
    def security_file(self) -> Path:
        """Keys and certificates of the S3 server's parts, read by SeaweedFS from its working directory."""
        return self.root / "security.toml"

    @property
    def prefect_auth_file(self) -> Path:
        """The login of the Prefect server, for its clients and its UI; readable only by its owner."""
        return self.root / "prefect.auth"

    @property
    def objects_dir(self) -> Path:
        """Data of the S3 server."""
        return self.root / "objects"

    @property
    def prefect_home(self) -> Path:
        """Data of the Prefect server."""
        return self.root / "prefect"

    def log(self, name: str) -> Path:
        """Return the file with the output of one component."""
        return self.root / "logs" / f"{name}.log"


def read_state(paths: StackPaths) -> StackState:
    """Return the recorded state; an empty one if nothing was ever started.

    Raises:
        FlowError: the record cannot be read.
    """
    try:
        return StackState.model_validate_json(paths.state_file.read_bytes())
    except FileNotFoundError:
        return StackState()
    except ValidationError as error:
        raise FlowError(
            "the record of the local stack cannot be read",
            where=str(paths.state_file),
            fix=f"remove it, then run `enginery up` (first problem: {error.errors()[0]['msg']})",
        ) from error


def write_state(paths: StackPaths, state: StackState) -> StackState:
    """Replace the record atomically, even if the power fails, and return it."""
    write_atomically(paths.state_file, state.model_dump_json(indent=2).encode())
    return state
