"""A running stack of a test's own, and what its owner can do with it."""

from dataclasses import dataclass

import psutil

from artifacts.settings import Settings
from flows.stack.components import object_store, prefect_server
from flows.stack.components.prefect_api import PrefectApi
from flows.stack.environment import stack_environment
from flows.stack.status import NAMES, StackStatus
from flows.stack.system.processes import marked
from flows.stack.system.state import StackPaths

# Variables of the user's own that a stack is started with. What becomes of them is tested.
USERS_OWN = {
    "GITHUB_TOKEN": "forge",
    "AWS_SESSION_TOKEN": "cloud",
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "HF_TOKEN": "hub",
}


@dataclass(frozen=True)
class Stack:
    """A stack with the deployments of this project."""

    settings: Settings
    status: StackStatus

    @property
    def paths(self) -> StackPaths:
        """Its directories."""
        return StackPaths.below(self.settings.home)

    @property
    def url(self) -> str:
        """Of the Prefect server and its UI."""
        return self.status.component(prefect_server.NAME).url

    @property
    def auth_string(self) -> str:
        """What its Prefect server asks for."""
        return prefect_server.auth_string(self.paths)

    @property
    def api(self) -> PrefectApi:
        """Its Prefect server, with credentials."""
        return PrefectApi.of(stack_environment(self.settings))

    def s3(self):
        """A client with the stack's credentials."""
        return object_store.client(self.paths, self.status.component(object_store.NAME).url)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Its processes by component."""
        return {name: marked(self.paths.root, name) for name in NAMES}
