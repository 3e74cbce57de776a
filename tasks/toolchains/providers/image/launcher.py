"""Starts the programs of a toolchain in containers, each with a name of its own."""

import getpass
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tasks.toolchains.launcher import Launch, Launcher, Program
from tasks.toolchains.providers.image.commands import DEVICES, Container, end_command, run_command
from tasks.toolchains.providers.image.names import new_name
from tasks.toolchains.run import SYSTEM_PATH, kept

# The variables by which docker and podman find their daemon, their images and their configuration.
CLIENT_VARIABLES = frozenset(
    [
        *("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS"),
        *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"),
        *("CONTAINER_HOST", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF"),
    ]
)


class ContainerLauncher(Launcher):
    """Starts each program in a container of its own."""

    container: Container

    def launch(self, program: Program) -> Launch:
        """The commands that run the program in a new container, and that end it by name."""
        name = new_name()
        shown = _in_container(self.container, program, name, getpass.getuser())
        return Launch(
            argv=shown.argv,
            env={**shown.env, **client_environment(os.environ)},
            end=end_command(self.container.client, name),
        )

    def shown(self, directory: Path) -> Launcher:
        """A launcher whose commands name no client by its path, no container and no user."""
        client = self.container.client
        client = client.model_copy(update={"path": Path(client.path.name)})
        container = self.container.model_copy(update={"client": client, "home": directory})
        return ShownContainerLauncher(container=container)


class ShownContainerLauncher(Launcher):
    """Gives the commands of a `ContainerLauncher` with placeholders, without what the client itself needs."""

    container: Container

    def launch(self, program: Program) -> Launch:
        """The command that runs the program in a new container."""
        return _in_container(self.container, program, "<container>", "<user>")


def _in_container(container: Container, program: Program, name: str, user: str) -> Launch:
    # Inside, the user has a number but no name to look up.
    env = {"USER": user} | {key: value for key, value in program.env.items() if key != DEVICES}
    return Launch(run_command(container, replace(program, env=env), name), env)


def client_environment(source: Mapping[str, str]) -> dict[str, str]:
    """The variables that the client itself needs."""
    return kept(source, CLIENT_VARIABLES) | {"PATH": source.get("PATH", SYSTEM_PATH)}
