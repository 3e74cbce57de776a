"""What a host must have to match a target: the target's row, as requirements on hosts."""

from artifacts.hosts import HostRequirements
from engine_specs.tables import Target


def host_requirements(target: Target, devices: int = 1) -> HostRequirements:
    """Return what a host needs to serve a checkpoint on this many devices of this target.

    They name no driver: which one a tool needs is known to its toolchain.
    """
    if target.gpu is None:
        return HostRequirements(machine=target.machine, cpu_features=target.cpu_features)
    return HostRequirements(
        machine=target.machine,
        gpu_names=target.gpu.product_names,
        compute_capability=target.gpu.compute_capability,
        gpu_count=devices,
    )
