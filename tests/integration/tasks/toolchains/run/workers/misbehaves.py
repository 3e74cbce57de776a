"""A worker that does what its request says, mostly badly."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tasks.workers.common import io
from tasks.workers.common.requests import Nothing, Request, Result

# It says so once its process id can be read.
ESCAPES = "import sys, time\nsys.stdin.read()\nprint('escaped', flush=True)\ntime.sleep(600)\n"


@dataclass(frozen=True)
class Asked:
    do: str
    failure: str = ""
    signal: str = ""
    pid_file: str = ""
    response: str = ""
    stay: bool = False


def main(request: Request[Asked, Nothing]) -> Result:
    do = request.params.do
    io.say(f"doing: {do}")
    return globals()[f"do_{do}"](request)


def do_answer(request):
    Path(request.output, "made.txt").write_text("made")
    return Result(metrics={"inputs": sorted(request.inputs), "cwd": str(Path.cwd())}, tools={"python": "3"})


def do_show_environment(request):
    return Result({"environment": dict(os.environ)}, {})


def do_litter(request):
    directory = Path(tempfile.mkdtemp(prefix="litter"))
    (directory / "left.bin").write_bytes(b"x")
    return Result({"left": str(directory)}, {})


def do_refuse(request):
    raise io.Refusal(request.params.failure, "weights are of no use", where="config.json", fix="take others")


def do_hang(request):
    io.say(f"pid {os.getpid()}")
    time.sleep(600)


def do_die(request):
    os.kill(os.getpid(), getattr(signal, request.params.signal))
    time.sleep(600)


def do_exit(request):
    io.say("last words")
    sys.exit(3)


def do_take_memory(request):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(2 << 30)


def do_say_no_memory(request):
    io.say("RuntimeError: [enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
    sys.exit(1)


def do_leave_children(request):
    """Leave a grandchild behind in a session of its own, out of reach of signals to the group."""
    command = [sys.executable, "-c", ESCAPES]
    spawned = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    Path(request.params.pid_file).write_text(str(spawned.pid))
    spawned.stdin.close()
    if request.params.stay:
        time.sleep(600)
    return Result({}, {})


def do_print_long(request):
    sys.stdout.write("x" * 100_000 + "\n")
    for step in range(1000):
        sys.stdout.write(f"\rstep {step}")
    sys.stdout.write("\rdone\n")
    return Result({}, {})


def do_garbage(request):
    Path(sys.argv[2]).write_text(request.params.response)
    os._exit(0)


def do_silence(request):
    os._exit(0)


if __name__ == "__main__":
    io.run(main, Asked, Nothing)
