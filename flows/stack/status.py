"""The status of the local stack."""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.settings import Settings
from flows.stack.components import object_store, prefect_server, worker
from flows.stack.components.schedule import NextRun, next_nightly
from flows.stack.system.liveness import is_running
from flows.stack.system.probes import answers
from flows.stack.system.state import Component, StackPaths, StackState, read_state

NAMES = (object_store.NAME, prefect_server.NAME, worker.NAME)


class ComponentStatus(Frozen):
    """The observed status of one daemon."""

    name: str
    state: Literal["up", "silent", "down"] = Field(
        description="silent: the process runs, but does not answer."
    )
    reason: str = Field(description="What was observed.")
    url: str = ""
    pid: int | None = None
    log: str = ""


class StackStatus(Frozen):
    """The observed status of the whole stack."""

    root: str = Field(description="Directory of the stack.")
    components: tuple[ComponentStatus, ...]
    auth_file: str = Field(
        description="File with the login of the Prefect server, for its UI and clients; private to its owner."
    )
    nightly: NextRun | None = Field(
        default=None, description="The next scheduled run of `nightly`; null if the server was not asked."
    )

    @property
    def all_up(self) -> bool:
        """Whether every component works."""
        return all(component.state == "up" for component in self.components)

    def component(self, name: str) -> ComponentStatus:
        """Return the component of that name."""
        return next(component for component in self.components if component.name == name)


def status(settings: Settings) -> StackStatus:
    """Check every component, and ask for the next nightly run; takes no lock and changes nothing."""
    paths = StackPaths.below(settings.home)
    found = check_components(paths, read_state(paths))
    server = found.component(prefect_server.NAME)
    if server.state == "up":
        nightly = next_nightly(prefect_server.api(paths, server.url))
    else:
        nightly = NextRun(reason=f"the {server.name} is {server.state}")
    return found.model_copy(update={"nightly": nightly})


def check_components(paths: StackPaths, state: StackState) -> StackStatus:
    """Return the status of the components of a recorded state, without the nightly run."""
    return StackStatus(
        root=str(paths.root),
        components=tuple(_check_component(state, name) for name in NAMES),
        auth_file=str(paths.prefect_auth_file),
    )


def _check_component(state: StackState, name: str) -> ComponentStatus:
    component = state.components.get(name)
    if component is None:
        return ComponentStatus(name=name, state="down", reason="not started")
    liveness, reason = _liveness(component)
    return ComponentStatus(
        name=name, state=liveness, reason=reason, url=component.url, pid=component.pid, log=component.log
    )


def _liveness(component: Component) -> tuple[Literal["up", "silent", "down"], str]:
    if component.pid is None:
        return "down", "its start was interrupted"
    if not is_running(component):
        return "down", f"process {component.pid} is gone; its output ends in {component.log}"
    if not answers(component):
        return "silent", f"process {component.pid} runs but does not answer"
    return "up", "answers"
