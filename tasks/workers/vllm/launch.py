"""How vLLM is started: its command and environment, with all caches below one directory.

Standard library only: engines ship it. Which variables enter vLLM's key is in `compile_factors` of
vllm/envs.py: in 0.26.0 VLLM_CONFIG_ROOT and VLLM_XLA_CACHE_PATH do, which are derived from the user's home
and from XDG_CACHE_HOME unless they are set; in 0.32.0 they do not. VLLM_CACHE_ROOT enters neither key, but
the artifacts hold paths below it.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULE = "vllm.entrypoints.openai.api_server"
PYTHON_PATH = "PYTHONPATH"
# Directories below that of the caches, by the variable that names them.
CACHE_VARIABLES = {
    "XDG_CACHE_HOME": "xdg",
    "XDG_CONFIG_HOME": "config",
    "VLLM_CACHE_ROOT": "vllm",
    "VLLM_CONFIG_ROOT": "config/vllm",
    "VLLM_XLA_CACHE_PATH": "xla",
    "VLLM_ASSETS_CACHE": "assets",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "CUDA_CACHE_PATH": "cuda",
}


# The only one of vLLM's key that is not its own, and that tools of CUDA read.
CUDA_HOME = "CUDA_HOME"
VLLM_PREFIX = "VLLM_"

Pinned = Mapping[str, str | None]
"""Variables that may enter vLLM's key, with the values that the caches were filled with; None: not set."""


@dataclass(frozen=True)
class Asked:
    """What is to be served, and where.

    Attributes:
        tree: directory of the engine.
        host: address to listen on.
        port: port to listen on.
        model: name of the model in requests.
        flags: further flags of vLLM.
    """

    tree: Path
    host: str
    port: int
    model: str
    flags: tuple[str, ...]


def server_command(python: Path, model: Path, asked: Asked) -> list[str]:
    """Return the command of vLLM's server for the engine at `model`.

    Flags that name something below the tree name it below `model`, as vLLM's key of the caches has this path.
    """
    below = f"{asked.tree}/"
    flags = [
        f"{model}/{flag.removeprefix(below)}" if flag.startswith(below) else flag for flag in asked.flags
    ]
    address = ["--host", asked.host, "--port", str(asked.port), "--served-model-name", asked.model]
    return [str(python), "-m", MODULE, "--model", str(model), *address, *flags]


def pinned_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Return what may enter vLLM's key of the caches that a server with this environment fills."""
    own = {
        name: value
        for name, value in environment.items()
        if name.startswith(VLLM_PREFIX) and name not in CACHE_VARIABLES
    }
    return {CUDA_HOME: environment.get(CUDA_HOME), **dict(sorted(own.items()))}


def server_environment(
    environment: Mapping[str, str], caches: Path, import_path: Sequence[Path], pinned: Pinned | None = None
) -> dict[str, str]:
    """Return the environment of vLLM's server: the given one, with these caches and this import path.

    Args:
        environment: of this process.
        caches: the directory of the caches.
        import_path: directories for PYTHONPATH.
        pinned: variables that the caches were filled with; they replace those of the environment.
    """
    pinned = pinned or {}
    ours = {name: str(caches / folder) for name, folder in CACHE_VARIABLES.items()}
    rest = {name: value for name, value in environment.items() if name not in {PYTHON_PATH, *pinned}}
    kept = {name: value for name, value in pinned.items() if value is not None}
    path = {PYTHON_PATH: os.pathsep.join(map(str, import_path))} if import_path else {}
    return rest | kept | ours | path


def replaced_variables(environment: Mapping[str, str], pinned: Pinned) -> str:
    """Say which variables of this host the caches do not allow, as part of a sentence; empty if none."""
    own = pinned_variables(environment)
    replaced = sorted(name for name in pinned if own.get(name) != pinned[name])
    further = sorted(own.keys() - pinned.keys())
    said = [f"{name} is {pinned[name] or 'not set'} as in the build" for name in replaced]
    said += [f"the build did not have {name}: vLLM may compile again" for name in further]
    return "; ".join(said)


def import_path_without(own: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the directories of PYTHONPATH but for our own, which vLLM has no use for."""
    parts = environment.get(PYTHON_PATH, "").split(os.pathsep)
    return tuple(Path(part) for part in parts if part and Path(part) != own)


def relocated_python(toolchain: Path) -> Path:
    """Return this interpreter, with `toolchain` for its venv; one that is in no venv stays where it is."""
    python = Path(sys.executable)
    if sys.prefix == sys.base_prefix or not python.is_relative_to(sys.prefix):
        return python
    return toolchain / python.relative_to(sys.prefix)
