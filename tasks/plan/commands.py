"""The commands of a dry run: workers, the tools that they run, and servers. Pure."""

from artifacts.hosts import ServeCommand
from tasks.kinds.kind import ToolCommand
from tasks.plan import symbols
from tasks.plan.records import DryCommand
from tasks.stages import WorkerStage


def worker_command(work: WorkerStage) -> DryCommand:
    """The worker of a stage, and the request that it reads."""
    return DryCommand(
        what=f"worker of {work.stage}",
        run_by="stage",
        argv=(
            symbols.python(work.toolchain),
            symbols.source(work.worker),
            symbols.REQUEST,
            symbols.RESPONSE,
        ),
        env=_environment(work),
        request={"params": work.params, "inputs": work.inputs, "output": symbols.OUTPUT},
    )


def tool_command(work: WorkerStage, command: ToolCommand) -> DryCommand:
    """One command of the tool that the worker of a stage runs."""
    values = _programs(work.toolchain) | {
        "checkpoint": work.inputs["checkpoint"],
        "output": symbols.OUTPUT,
        "scratch": symbols.SCRATCH,
        "port": symbols.PORT,
    }
    own = {name: symbols.filled(value, values) for name, value in command.env.items()}
    return DryCommand(
        what=command.name,
        run_by="worker",
        directory=symbols.SCRATCH,
        argv=tuple(symbols.filled(part, values) for part in command.argv),
        env=_environment(work) | own,
    )


def server_commands(name: str, recipe: ServeCommand, tree: str, devices: int) -> tuple[DryCommand, ...]:
    """What starts a server by its recipe, in the environment of its toolchain on so many devices."""
    *copies, server = recipe_commands(name, recipe, tree)
    gpus = symbols.gpus_held(recipe.toolchain, devices)
    env = symbols.environment(recipe.toolchain, gpus) | server.env
    return (*copies, server.model_copy(update={"env": dict(sorted(env.items()))}))


def recipe_commands(
    name: str, recipe: ServeCommand, tree: str, port: str = symbols.PORT, model: str | None = None
) -> tuple[DryCommand, ...]:
    """Copies of the files that a server rewrites, then the server with the recipe's variables alone.

    `model` is the name that it answers to; by default the recipe's own.
    """
    values = _programs(recipe.toolchain) | {
        "tree": tree,
        "scratch": symbols.SCRATCH,
        "host": symbols.HOST,
        "port": port,
        "model": model or recipe.model,
    }
    copies = (
        DryCommand(
            what=f"copy of what the server of {name} rewrites",
            run_by="stage",
            argv=("install", "-Dm644", f"{tree}/{path}", f"{symbols.SCRATCH}/{path}"),
            env={},
        )
        for path in recipe.rewrites
    )
    server = DryCommand(
        what=f"server of {name}",
        run_by="stage",
        argv=tuple(symbols.filled(part, values) for part in recipe.argv),
        env={key: symbols.filled(value, values) for key, value in recipe.env.items()},
    )
    return (*copies, server)


def _environment(work: WorkerStage) -> dict[str, str]:
    return symbols.environment(work.toolchain, symbols.gpus_held(work.toolchain, work.gpus.count))


def _programs(toolchain: str) -> dict[str, str]:
    return {"python": symbols.python(toolchain), "bin": symbols.bin_dir(toolchain)}
