"""What a host must have to be of a target: the target's row, as a requirement that hosts are judged by."""

from artifacts.hosts import HostRequirements
from engine_specs.tables import Target


def host_requirements(target: Target, devices: int = 1) -> HostRequirements:
    """What serves a checkpoint on hosts of this target with that many devices.

    No driver is asked for here: which one a tool needs is known to the toolchain that holds it.
    """
    if target.gpu is None:
        return HostRequirements(machine=target.machine, cpu_features=target.cpu_features)
    return HostRequirements(
        machine=target.machine,
        gpu_names=target.gpu.product_names,
        compute_capability=target.gpu.compute_capability,
        gpu_count=devices,
    )
