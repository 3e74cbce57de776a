"""The choice of the stack's ports on 127.0.0.1."""

from collections.abc import Collection, Mapping

from artifacts.ports import HOST, VALID, free_port, is_free
from flows.errors import PortBusy

# Names by which a browser on this host reaches HOST; nobody else can make them resolve to another address.
OWN_NAMES = (HOST, "localhost")


def require_valid(requested: Mapping[str, int | None]) -> None:
    """Raise PortBusy if a requested port is not a port, or is requested for two uses."""
    uses: dict[int, str] = {}
    for use, port in requested.items():
        if port is None:
            continue
        if port not in VALID:
            raise PortBusy(
                f"{port} is not a port",
                where=f"requested for {use}",
                fix=f"name one from {VALID.start} to {VALID.stop - 1}, or none to have one chosen",
            )
        if port in uses:
            raise PortBusy(
                f"port {port} is requested twice",
                where=f"for {uses[port]} and for {use}",
                fix="name two ports, or none to have them chosen",
            )
        uses[port] = use


def choose(
    name: str, *, requested: int | None, preferred: int, taken: Collection[int] = ()
) -> tuple[int, str]:
    """Choose the requested port, otherwise the preferred one, otherwise any free one; say why.

    Raises:
        PortBusy: the requested port is taken.
    """
    if requested is not None:
        if not is_free(requested):
            raise PortBusy(
                f"port {requested} is taken by another program",
                where=f"{HOST}:{requested}, requested for the {name}",
                fix="name another port, or none to have one chosen",
            )
        return requested, "as requested"
    if preferred not in taken and is_free(preferred):
        return preferred, "free"
    return free_port(taken), f"{preferred} is taken by another program"
