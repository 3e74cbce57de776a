"""Starting and stopping the local stack.

`up` starts what is not running and leaves the rest alone; it restarts a component if the address of another
one has changed. It can be repeated, and can be killed at any point.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from artifacts.ports import HOST, free_port, strangers_at
from artifacts.progress import Say
from artifacts.settings import Settings
from flows.errors import ComponentFailed, CredentialsDamaged, FlowError
from flows.stack.components import deployments, object_store, prefect_server, store_security, worker
from flows.stack.components.orphans import reconcile_orphans, runs_of_commands
from flows.stack.components.prefect_api import PrefectApi
from flows.stack.status import NAMES, StackStatus, check_components
from flows.stack.system import ports
from flows.stack.system.child_environment import SERVERS, checkout, inherited
from flows.stack.system.disk import disk_full_errors, require_room
from flows.stack.system.liveness import birth, is_running
from flows.stack.system.private_files import fingerprint
from flows.stack.system.probes import answers, wait_ready
from flows.stack.system.processes import MARK, PART, end_part, marked, spawn
from flows.stack.system.state import Component, StackPaths, StackState, read_state, write_state

_READY_LIMIT_S = 180.0  # the first start sets up two databases, perhaps on a busy machine
_LOCK_LIMIT_S = 180.0
# Time between SIGTERM and SIGKILL. The S3 server would wait 15 s for its internal streams, in vain: what it
# has acknowledged is already written. Flow runs need time to stop their own processes.
_GRACE_S = {object_store.NAME: 2.0, prefect_server.NAME: 10.0, worker.NAME: 20.0}
_PRIVATE_UMASK = 0o077
_PORT_RETRIES = 2  # stacks that start at once may choose the same port, and one of them gets it
_SILENCE_LIMIT_S = 20.0  # a component that runs but does not answer is restarted after this time


class Lifecycle:
    """One change to the stack, made under its lock.

    Args:
        settings: resolved settings.
        say: receives progress lines.
        project: directory with the prefect.yaml to apply.
        requested_ports: ports that the user chose, by use.
    """

    def __init__(
        self,
        settings: Settings,
        say: Say,
        project: Path,
        requested_ports: Mapping[str, int | None] | None = None,
    ) -> None:
        self.settings = settings
        self.say = say
        self.project = project
        self.requested_ports = dict(requested_ports or {})
        self.paths = StackPaths.below(settings.home)
        self.state = read_state(self.paths)

    def up(self) -> StackStatus:
        """Start what is not running, apply the deployments, close orphaned runs."""
        prefect_server.require_usable(self.paths)
        self._clear_interrupted_starts()
        servers_started = self._start_servers()
        if worker_started := not self._keep_or_stop(worker.NAME):
            self._start_worker()
        else:
            self._say_all(self._reconcile(worker_runs=True))
        if not servers_started and not worker_started:
            self.say("already running")
        self._say_what_stays_as_it_was()
        self._deploy()
        return check_components(self.paths, self.state)

    def _say_what_stays_as_it_was(self) -> None:
        for use, requested in self.requested_ports.items():
            current = self.state.ports[use]
            if requested not in {None, current}:
                self.say(
                    f"{use} runs on port {current}; to move it to {requested}, run `enginery down` first"
                )
        for name in (prefect_server.NAME, worker.NAME):
            program = self.state.components[name].program
            if program not in {"", sys.executable}:
                self.say(f"{name} runs with {program}; to use {sys.executable}, run `enginery down` first")

    def down(self) -> int:
        """Stop the worker with its flow runs, then the servers; return the number of processes stopped."""
        self._say_what_loses_its_server()
        ended = 0
        for name in reversed(NAMES):
            ended += end_part(self.paths.root, name, _GRACE_S[name])
            if name == object_store.NAME:
                object_store.sweep_sockets(self.state.ports)
            self.state = self.state.without(name)
            if name == worker.NAME and ended and self._answers(prefect_server.NAME):
                self._close_orphaned_runs()
        if left := marked(self.paths.root):
            pids = " ".join(str(process.pid) for process in left)
            raise FlowError(
                "some processes of the local stack could not be stopped",
                where=f"process ids {pids}",
                fix=f"kill -9 {pids}",
            )
        self._record_end(ended)
        return ended

    def _say_what_loses_its_server(self) -> None:
        if not self._answers(prefect_server.NAME):
            return
        try:
            of_worker = {process.pid for process in marked(self.paths.root, worker.NAME)}
            found = runs_of_commands(self._api(), of_worker)
        except (OSError, CredentialsDamaged):  # stopping must not fail for want of a warning
            return
        for run in found:
            self.say(f"{run} loses its server and will fail; what it has done is kept")

    def _close_orphaned_runs(self) -> None:
        """Close the runs that ended with the worker; if that is impossible now, the next `up` does it."""
        try:
            self._say_all(self._reconcile(worker_runs=False))
        except (OSError, CredentialsDamaged) as error:
            self.say(f"orphaned runs are still open, the next `enginery up` closes them: {error}")

    def _record_end(self, ended: int) -> None:
        """Record that nothing runs; done last, because a failure here must not keep a process running."""
        try:
            self._record(self.state)
        except OSError as error:
            raise FlowError(
                f"the local stack is stopped ({ended} processes), but this could not be recorded: "
                f"{error.strerror}",
                where=str(self.paths.state_file),
                fix="free some space there; `enginery up` then works as usual",
            ) from error

    def _start_servers(self) -> bool:
        servers = (object_store.NAME, prefect_server.NAME)
        to_start = [name for name in servers if not self._keep_or_stop(name)]
        # A port that is refused is refused before anything runs.
        for name in to_start:
            self._choose_ports(name)
        for name in to_start:
            self._start_server(name)
        if to_start:
            self.say(f"waiting for {' and '.join(to_start)}")
        for name in servers:
            self._await_server(name)
        return bool(to_start)

    def _choose_ports(self, name: str) -> None:
        if name == object_store.NAME:
            self._choose_port(object_store.S3_PORT, name, object_store.DEFAULT_S3_PORT)
            for use in object_store.INNER_PORTS:
                self._choose_port(use, name)
        else:
            self._choose_port(prefect_server.PORT, name, prefect_server.DEFAULT_PORT)

    def _start_server(self, name: str) -> None:
        {object_store.NAME: self._start_store, prefect_server.NAME: self._start_prefect}[name]()

    def _await_server(self, name: str) -> None:
        """Wait for a server; if another program took a port of it before it did, start it on another one."""
        for retry in range(_PORT_RETRIES + 1):
            component = self.state.components[name]
            try:
                wait_ready(component, _READY_LIMIT_S, self._readiness(component))
            except ComponentFailed:
                strangers = self._strangers(component)
                if not strangers or retry == _PORT_RETRIES:
                    raise
                self.say(f"{name}: its port was taken meanwhile by {' and '.join(strangers)}")
                end_part(self.paths.root, name, _GRACE_S[name])
                self._choose_ports(name)
                self._start_server(name)
            else:
                return

    def _strangers(self, component: Component) -> list[str]:
        """Name the processes of others that listen on a port which was chosen for a server."""
        own = {prefect_server.PORT}
        if component.name == object_store.NAME:
            own = {object_store.S3_PORT, *object_store.INNER_PORTS}
        found = [strangers_at(port, component.pid) for use, port in self.state.ports.items() if use in own]
        return sorted({who for strangers in found for who in strangers})

    def _readiness(self, component: Component) -> Callable[[], bool] | None:
        """Return what else has to be true of a server before it counts as ready."""
        if component.name != object_store.NAME:
            return None
        return object_store.bucket_ready(self.paths, component.url, self.settings.store_bucket)

    def _start_store(self) -> None:
        require_room(self.paths.root)
        self.paths.objects_dir.mkdir(parents=True, exist_ok=True)
        store_security.write_security(self.paths, object_store.allowed_origins(self.state.ports))
        self._spawn(
            object_store.NAME,
            object_store.command(self.paths, self.state.ports),
            env=inherited(SERVERS),
            url=self._url(object_store.S3_PORT),
            umask=_PRIVATE_UMASK,
        )

    def _start_prefect(self) -> None:
        self.paths.prefect_home.mkdir(parents=True, exist_ok=True)
        self._spawn(
            prefect_server.NAME,
            prefect_server.command(),
            env=prefect_server.server_environment(
                self.paths, self._url(prefect_server.PORT), self.state.ports[prefect_server.PORT]
            ),
            url=self._url(prefect_server.PORT),
            umask=_PRIVATE_UMASK,
        )

    def _start_worker(self) -> None:
        self._choose_port(worker.HEALTH_PORT, worker.NAME)
        self.say("waiting for worker")
        component = self._spawn(
            worker.NAME,
            worker.command(),
            env=self._worker_environment(),
            url=self._url(worker.HEALTH_PORT),
        )
        self._await_pool(component)

    def _await_pool(self, component: Component) -> None:
        """Wait until the worker has registered with the server the pool that deployments name.

        It reports healthy before that, and registers again if the server has lost its data.
        """
        api = self._api()
        wait_ready(component, _READY_LIMIT_S, lambda: answers(component) and worker.has_pool(api))

    def _deploy(self) -> None:
        if not (self.project / "prefect.yaml").exists():
            self.say(f"no deployments applied: there is no prefect.yaml in {self.project}")
            return
        digest = deployments.digest(self.project, self.state.components[prefect_server.NAME].url)
        if digest == self.state.deployed:
            lost = deployments.missing(self.project, self._api())
            if not lost:
                return
            self.say(f"the Prefect server does not have the deployments {', '.join(lost)} any more")
            self._await_pool(self.state.components[worker.NAME])
        self.say("applying the deployments of prefect.yaml")
        deployments.deploy(self.project, env=self._worker_environment(), log=self.paths.log("deployments"))
        self._record(self.state.model_copy(update={"deployed": digest}))

    def _keep_or_stop(self, name: str) -> bool:
        """Return whether a component can stay as it is; if not, stop what is left of it."""
        component = self.state.components.get(name)
        if component is None:
            end_part(self.paths.root, name, _GRACE_S[name])
            return False
        died = not is_running(component)
        reason = f"process {component.pid} is gone" if died else self._reason_to_restart(component)
        if not reason:
            return True
        self.say(f"{name}: restarting: {reason}")
        # Flow runs outlive a worker that was killed, and report their own end to the server.
        if not (died and name == worker.NAME):
            end_part(self.paths.root, name, _GRACE_S[name])
        return False

    def _reason_to_restart(self, component: Component) -> str:
        if component.uses != self._uses(component.name):
            return "the addresses, credentials or version of Prefect that it was started with have changed"
        if component.program and not Path(component.program).exists():
            return f"{component.program}, with which it was started, is gone"
        if not answers(component):
            try:
                wait_ready(component, _SILENCE_LIMIT_S)
            except FlowError as error:
                return error.what
        return ""

    def _clear_interrupted_starts(self) -> None:
        """Clear up after an `up` that was killed between deciding on a start and recording it."""
        for component in self.state.components.values():
            if component.pid is None:
                end_part(self.paths.root, component.name, _GRACE_S[component.name])
                self._record(self.state.without(component.name))

    def _spawn(
        self,
        name: str,
        argv: list[str],
        *,
        env: Mapping[str, str],
        url: str,
        umask: int = -1,
    ) -> Component:
        log = self.paths.log(name)
        component = Component(name=name, url=url, log=str(log), program=argv[0], uses=self._uses(name))
        self._record(self.state.with_component(component))
        marks = {MARK: str(self.paths.root), PART: name}
        process = spawn(argv, env={**env, **marks}, cwd=self.paths.root, log=log, umask=umask)
        component = component.model_copy(update={"pid": process.pid, "birth": birth(process.pid)})
        self._record(self.state.with_component(component))
        return component

    def _choose_port(self, use: str, owner: str, default: int | None = None) -> None:
        known = self.state.ports
        taken = {port for name, port in known.items() if name != use}
        preferred = known.get(use) or default or free_port(taken)
        requested = self.requested_ports.get(use)
        port, reason = ports.choose(owner, requested=requested, preferred=preferred, taken=taken)
        if port != preferred:
            self.say(f"{owner}: port {port} ({reason})")
        self._record(self.state.model_copy(update={"ports": {**known, use: port}}))

    def _worker_environment(self) -> dict[str, str]:
        return worker.environment(self.paths, self.settings, self.state.ports, self._neighbours())

    def _neighbours(self) -> dict[str, str]:
        return {name: self.state.components[name].url for name in (object_store.NAME, prefect_server.NAME)}

    def _uses(self, name: str) -> dict[str, str]:
        """Return the addresses and credentials that a component depends on and that may change while it runs.

        A stack started by an older version, whose servers accepted requests from anyone, has none recorded:
        `up` restarts it.
        """
        credentials = {
            object_store.NAME: fingerprint(" ".join(object_store.credentials(self.paths))),
            prefect_server.NAME: fingerprint(prefect_server.auth_string(self.paths)),
        }
        own = {"credentials": credentials[name]} if name in credentials else {}
        if name == worker.NAME:
            own = {f"{owner} credentials": value for owner, value in credentials.items()} | self._neighbours()
        return own if name == object_store.NAME else own | {"prefect": version("prefect")}

    def _reconcile(self, *, worker_runs: bool) -> list[str]:
        return reconcile_orphans(self._api(), worker_runs=worker_runs)

    def _api(self) -> PrefectApi:
        return prefect_server.api(self.paths, self._url(prefect_server.PORT))

    def _answers(self, name: str) -> bool:
        component = self.state.components.get(name)
        return component is not None and answers(component)

    def _url(self, use: str) -> str:
        return f"http://{HOST}:{self.state.ports[use]}"

    def _record(self, state: StackState) -> None:
        self.state = write_state(self.paths, state)

    def _say_all(self, lines: list[str]) -> None:
        for line in lines:
            self.say(line)


def up(
    settings: Settings,
    say: Say,
    *,
    prefect_port: int | None = None,
    s3_port: int | None = None,
    project: Path | None = None,
) -> StackStatus:
    """Start the stack and return its status; what is already running is left alone.

    Args:
        settings: resolved settings.
        say: receives progress lines.
        prefect_port: port of the Prefect server; default: the last one, 4200, or a free one.
        s3_port: port of the S3 server; default: the last one, 8333, or a free one.
        project: directory with the prefect.yaml to apply; default: this checkout.

    Raises:
        ComponentFailed: a component did not become ready.
        PortBusy: a requested port is taken, is requested twice, or is not a port.
        BadPath: the server could not keep its data below ENGINERY_HOME.
    """
    requested = {prefect_server.PORT: prefect_port, object_store.S3_PORT: s3_port}
    ports.require_valid(requested)
    with _locked(settings, say):
        return Lifecycle(settings, say, project or checkout(), requested).up()


def down(settings: Settings, say: Say) -> int:
    """Stop everything that `up` started, with the worker's flow runs; return the number of processes."""
    with _locked(settings, say):
        return Lifecycle(settings, say, checkout()).down()


@contextmanager
def _locked(settings: Settings, say: Say) -> Iterator[None]:
    paths = StackPaths.below(settings.home)
    with disk_full_errors(paths.root):
        _make_private(paths.root)
        lock = FileLock(paths.lock_file)
        _acquire(lock, say)
        try:
            yield
        finally:
            lock.release()


def _acquire(lock: BaseFileLock, say: Say) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("waiting for another `enginery up` or `down`")
        try:
            lock.acquire(timeout=_LOCK_LIMIT_S)
        except Timeout as error:
            raise FlowError(
                f"another command has been changing the local stack for {_LOCK_LIMIT_S:.0f} s",
                where=str(lock.lock_file),
                fix="wait for it, or stop it",
            ) from error


def _make_private(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
