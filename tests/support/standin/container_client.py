"""A strict stand-in of podman and docker: it refuses every flag that it does not know, or that is the
other's.

Run as `container_client.py DIALECT ARGUMENTS..` it is the client, and as `container_client.py --daemon
SOCKET` what the client talks to: programs of containers are its children, so nothing that ends the client
ends them. A container here is a process with the variables, the directory and the name that were asked for,
nothing more: what it may read and write is checked by what is mounted, not enforced. Images are names in a
set.
"""

import argparse
import contextlib
import csv
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

VERSIONS = {"docker": "Docker version 27.3.1, build ce12230", "podman": "podman version 5.4.2"}
# What every image has: where the tests' interpreter is.
IN_EVERY_IMAGE = ("/usr", "/bin", "/lib", "/proc", "/dev", "/etc")
GPU = r"GPU-[0-9a-f-]+"


def parser(dialect: str) -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog=dialect, allow_abbrev=False)
    verbs = top.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", allow_abbrev=False)
    for flag in ("--rm", "--init"):
        run.add_argument(flag, action="store_true", required=True)
    run.add_argument("--pull", choices=["never"], required=True)
    run.add_argument("--name", required=True)
    run.add_argument("--log-driver", choices=["none"], required=True)
    run.add_argument("--user", required=True)
    run.add_argument("--network", choices=["none", "host"], required=True)
    run.add_argument("--ipc", choices=["host"])
    run.add_argument("--security-opt", action="append", choices=["no-new-privileges", "label=disable"])
    run.add_argument("--mount", action="append", default=[])
    run.add_argument("--workdir")
    run.add_argument("--env", action="append", default=[])
    run.add_argument("--entrypoint", required=True)
    if dialect == "docker":
        run.add_argument("--gpus")
        run.add_argument("--ulimit", choices=["memlock=-1"])
    else:
        run.add_argument("--device", action="append", default=[])
        run.add_argument("--userns", choices=["keep-id"])
        run.add_argument("--ulimit", choices=["host"])
    run.add_argument("image")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    remove = verbs.add_parser("rm", allow_abbrev=False)
    remove.add_argument("--force", action="store_true", required=True)
    if dialect == "podman":
        remove.add_argument("--ignore", action="store_true", required=True)
        remove.add_argument("--time", choices=["0"], required=True)
    remove.add_argument("name")
    listing = verbs.add_parser("ps", allow_abbrev=False)
    listing.add_argument("--all", action="store_true", required=True)
    listing.add_argument("--filter", choices=[f"name=^enginery-{os.getuid()}-"], required=True)
    listing.add_argument("--format", choices=["{{.Names}}"], required=True)
    verbs.add_parser("pull", allow_abbrev=False).add_argument("image")
    image = verbs.add_parser("image", allow_abbrev=False).add_subparsers(dest="of", required=True)
    inspect = image.add_parser("inspect", allow_abbrev=False)
    inspect.add_argument("--format", choices=["{{.Id}}"], required=True)
    inspect.add_argument("image")
    return top


def main(dialect: str, arguments: list[str]) -> int:
    """The client."""
    if arguments == ["--version"]:
        print(VERSIONS[dialect])
        return 0
    asked = parser(dialect).parse_args(arguments)
    message = {"verb": asked.verb}
    if asked.verb == "run":
        message |= run_message(asked)
    elif asked.verb == "rm":
        message |= {"name": asked.name, "ignore": getattr(asked, "ignore", False)}
    elif asked.verb != "ps":
        message |= {"image": asked.image}
    return talk(message)


def run_message(asked: argparse.Namespace) -> dict[str, object]:
    """What the daemon needs to know; refuses what a real one would refuse, or would not be able to do."""
    if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", asked.image):
        sys.exit(f"invalid reference format: {asked.image}")
    if asked.user != f"{os.getuid()}:{os.getgid()}":
        sys.exit(f"the stand-in runs as this user alone, not as {asked.user}")
    if getattr(asked, "gpus", None) and not re.fullmatch(rf'"device={GPU}(,{GPU})*"', asked.gpus):
        sys.exit(f"unknown form of --gpus: {asked.gpus}")
    for device in getattr(asked, "device", []):
        if not re.fullmatch(rf"nvidia\.com/gpu={GPU}", device):
            sys.exit(f"unresolvable CDI device: {device}")
    mounts = dict(map(read_mount, asked.mount))
    for part in (asked.workdir, *asked.arguments):
        if part and part.startswith("/") and Path(part).exists() and not visible(Path(part), mounts):
            sys.exit(
                f"{part} is not there in a container that has only {sorted(map(str, mounts))} of this host"
            )
    env = dict(read_env(pair) for pair in asked.env)
    return {
        "name": asked.name, "image": asked.image, "argv": [asked.entrypoint, *asked.arguments],
        "env": {"PATH": "/usr/bin:/bin", "CONTAINER_NETWORK": asked.network} | env, "cwd": asked.workdir or
        "/",
    }  # fmt: skip


def read_mount(text: str) -> tuple[Path, bool]:
    """The path of a bind mount, the same on both sides, and whether it may be written to."""
    (fields,) = csv.reader([text])
    kind, source, target, *readonly = fields
    if kind != "type=bind" or readonly not in ([], ["readonly"]):
        sys.exit(f"unknown kind of mount: {text}")
    path = source.removeprefix("source=")
    if target != f"target={path}" or not Path(path).exists():
        sys.exit(f"invalid mount, or no such file or directory: {text}")
    return Path(path), not readonly


def read_env(pair: str) -> tuple[str, str]:
    name, given, value = pair.partition("=")
    if not given and name not in os.environ:
        sys.exit(f"{name} is handed over, and not set")
    return name, value if given else os.environ[name]


def visible(path: Path, mounts: dict[Path, bool]) -> bool:
    places = [*mounts, *map(Path, IN_EVERY_IMAGE), Path(sys.prefix), Path(sys.base_prefix)]
    return any(path.is_relative_to(place) for place in places)


def talk(message: dict[str, object]) -> int:
    """Ask the daemon; show what the program prints, and hand on the signals that come."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
        stream = connection.makefile("rw")

        def send(what: dict[str, object]) -> None:
            stream.write(json.dumps(what) + "\n")
            stream.flush()

        send(message)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: send({"signal": number}))
        for line in stream:
            answer = json.loads(line)
            if "exit" in answer:
                return int(answer["exit"])
            print(answer["line"], flush=True)
    return 125


class Daemon(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    images: set[str]
    containers: dict[str, subprocess.Popen[str]]


class Connection(socketserver.StreamRequestHandler):
    server: Daemon

    def handle(self) -> None:
        message = json.loads(self.rfile.readline())
        code = getattr(self, message["verb"])(message)
        self.send({"exit": code})

    def send(self, what: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # the client is gone, which ends no container
            self.wfile.write((json.dumps(what) + "\n").encode())

    def pull(self, message: dict[str, str]) -> int:
        self.server.images.add(message["image"])
        self.send({"line": f"Pulled {message['image']}"})
        return 0

    def image(self, message: dict[str, str]) -> int:
        return 0 if message["image"] in self.server.images else 1

    def ps(self, message: dict[str, str]) -> int:
        for name in self.server.containers:
            self.send({"line": name})
        return 0

    def rm(self, message: dict[str, str]) -> int:
        program = self.server.containers.get(message["name"])
        if program is None:
            self.send({"line": f"Error: no such container {message['name']}"})
            return 0 if message["ignore"] else 1
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        return 0

    def run(self, message: dict[str, object]) -> int:
        if message["image"] not in self.server.images:
            self.send({"line": f"{message['image']}: image not known"})
            return 125
        program = subprocess.Popen(
            message["argv"], env=message["env"], cwd=message["cwd"], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self.server.containers[message["name"]] = program
        threading.Thread(target=self.signals, args=(program,), daemon=True).start()
        for line in program.stdout:
            self.send({"line": line.rstrip("\n")})
        code = program.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)  # as all of a container ends with its first process
        del self.server.containers[message["name"]]
        return code if code >= 0 else 128 - code

    def signals(self, program: subprocess.Popen[str]) -> None:
        for line in self.rfile:
            with contextlib.suppress(ProcessLookupError):
                os.kill(program.pid, json.loads(line)["signal"])


def serve(address: str) -> None:
    with Daemon(address, Connection) as daemon:
        daemon.images, daemon.containers = set(), {}
        print("ready", flush=True)
        daemon.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "--daemon":
        serve(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
