"""What a host must have to match a target: the target's row, as requirements on hosts."""

from collections.abc import Iterable

from artifacts.hosts import HostRequirements
from engine_specs.tables import Target
from tasks.toolchains import driver_floor


def host_requirements(target: Target, devices: int = 1, toolchains: Iterable[str] = ()) -> HostRequirements:
    """Return what a host needs to run these toolchains on this many devices of this target.

    The driver is the oldest that all of them run with; without toolchains, any driver will do.
    """
    if target.gpu is None:
        return HostRequirements(machine=target.machine, cpu_features=target.cpu_features)
    return HostRequirements(
        machine=target.machine,
        gpu_names=target.gpu.product_names,
        compute_capability=target.gpu.compute_capability,
        gpu_count=devices,
        driver_floor=driver_floor(toolchains),
    )
