"""The commands that start a server, with placeholders. Pure."""

from artifacts.hosts import ServeCommand
from artifacts.placeholders import fill_placeholders
from tasks.commands import symbols
from tasks.commands.command import Command


def server_commands(name: str, serve: ServeCommand, tree: str, devices: int) -> tuple[Command, ...]:
    """Return the commands that start a server, in its toolchain's environment on this many devices."""
    *copies, server = serve_commands(name, serve, tree)
    gpus = symbols.gpus_held(serve.toolchain, devices)
    env = symbols.environment(serve.toolchain, gpus) | server.env
    return (*copies, server.model_copy(update={"env": dict(sorted(env.items()))}))


def serve_commands(
    name: str, serve: ServeCommand, tree: str, port: str = symbols.PORT, model: str | None = None
) -> tuple[Command, ...]:
    """Return the copies of files that a server rewrites, then the server, with only its own variables.

    `model` is the name under which it serves the model; by default the one that the serve command declares.
    """
    values = symbols.programs(serve.toolchain) | {
        "tree": tree,
        "scratch": symbols.SCRATCH,
        "host": symbols.HOST,
        "port": port,
        "model": model or serve.model,
    }
    copies = (
        Command(
            what=f"copy of a file that the server of {name} rewrites",
            run_by="stage",
            argv=("install", "-Dm644", f"{tree}/{path}", f"{symbols.SCRATCH}/{path}"),
            env={},
        )
        for path in serve.rewrites
    )
    server = Command(
        what=f"server of {name}",
        run_by="stage",
        argv=tuple(fill_placeholders(part, values) for part in serve.argv),
        env={key: fill_placeholders(value, values) for key, value in serve.env.items()},
    )
    return (*copies, server)
