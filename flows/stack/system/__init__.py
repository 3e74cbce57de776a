"""What the local stack needs from the machine: processes, ports, disk, private files, and its state on disk.

Nothing is imported here: whoever reads the stack's state starts no more than that.
"""
