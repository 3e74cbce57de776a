"""The main job on real parts, end to end."""
