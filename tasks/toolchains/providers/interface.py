"""What a provider of toolchains promises.

Invariants:
- A toolchain that `ensure` returns can run programs on this host, and its identity says what is actually
  there: equal identities mean equal tools. Two providers give equal identities only for the same bytes.
- Nothing outside the providers asks which one serves a toolchain: its launcher decides how a program is
  started and ended.
- `status` changes nothing, except what this host remembers about what it has inspected.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError

from artifacts.frozen import Frozen
from artifacts.progress import Say
from artifacts.settings import Settings
from tasks.errors import ToolchainSettingInvalid
from tasks.toolchains.declarations import Declaration
from tasks.toolchains.host_checks import Obstacle
from tasks.toolchains.records import NotInstalled, Toolchain

Table = TypeVar("Table", bound=Frozen)


@dataclass(frozen=True, slots=True)
class ToolchainRequest:
    """A toolchain as requested on this host.

    Attributes:
        declared: what it has to be.
        settings: those of this host.
        table: what `[toolchains.NAME]` or `enginery toolchain adopt` says about it; may be empty.
        source: where the table comes from, for messages.
    """

    declared: Declaration
    settings: Settings
    table: Mapping[str, Any]
    source: str

    def read(self, model: type[Table]) -> Table:
        """The table, as a provider understands it.

        Raises:
            ToolchainSettingInvalid: the table is invalid; all problems are reported at once.
        """
        try:
            return model.model_validate(dict(self.table))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
                for each in error.errors()
            )
            raise ToolchainSettingInvalid(
                f"the setting of toolchain {self.declared.name} cannot be used: {problems}",
                where=self.source,
                fix="correct it, or remove it to have the toolchain installed from its lock",
            ) from error


class Provider(ABC):
    """One way for a host to get toolchains.

    Attributes:
        name: as it is shown and recorded.
        key: the key of `[toolchains.NAME]` that selects this provider.
    """

    name: ClassVar[str]
    key: ClassVar[str]

    @abstractmethod
    def obstacles(self, request: ToolchainRequest) -> tuple[Obstacle, ...]:
        """What keeps this host from having it, hardest to fix first; empty if nothing does."""

    @abstractmethod
    def status(self, request: ToolchainRequest) -> Toolchain | NotInstalled:
        """What `ensure` would return now, without installing or downloading anything."""

    @abstractmethod
    def ensure(self, request: ToolchainRequest, say: Say) -> Toolchain:
        """The toolchain, ready to run programs.

        Raises ToolchainUnavailable with all obstacles, ToolchainInstallFailed (interrupted: try again) and
        ToolchainCorrupt (what is there is not what was asked for).
        """
