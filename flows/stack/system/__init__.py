"""What the local stack needs from the machine: processes, ports, disk, private files, and its state on disk.

Nothing is imported here, so that a host with the light install can read the stack's state without psutil.
"""
