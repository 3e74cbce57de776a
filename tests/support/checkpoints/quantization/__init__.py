"""Many quantizations in one process of a toolchain, and how far each result may be from its original."""
