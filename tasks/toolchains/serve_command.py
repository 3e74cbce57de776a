"""What a serve recipe comes to on this host: the argument list and the environment of the server."""

import os
from collections.abc import Mapping
from pathlib import Path

from artifacts.engine import ServeRecipe
from tasks.toolchains.environment import job_environment
from tasks.toolchains.records import Toolchain


def server_command(toolchain: Toolchain, recipe: ServeRecipe, tree: Path, host: str, port: int) -> list[str]:
    """The recipe's argument list on this host."""
    python, bin_dir = str(toolchain.python), str(toolchain.bin_dir)
    return recipe.command(python=python, bin_dir=bin_dir, tree=str(tree.absolute()), host=host, port=port)


def server_environment(
    toolchain: Toolchain, recipe: ServeRecipe, tree: Path, extra_env: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a server: that of a job, and the recipe's own."""
    own = recipe.environment(tree=str(tree.absolute()))
    return job_environment(toolchain, own | dict(extra_env), os.environ)
