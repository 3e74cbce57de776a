"""What the local stack needs of the machine: processes, ports, disk, private files, and its state on disk.

Nothing is imported here: a host with the light install reads the stack's state without psutil.
"""
