"""Gates on timed rounds: whether what was timed counts, and whether it is fast enough.

Nothing is imported here: the registry takes each gate from its own file, so that a new one is a file and its
place there.
"""
