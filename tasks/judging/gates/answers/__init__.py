"""Gates on answers of the engine, scored by the reference; they decide before anything is timed.

Nothing is imported here: the registry takes each gate from its own file, so that a new one is a file and its
place there.
"""
