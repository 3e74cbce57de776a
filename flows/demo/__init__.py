"""The demo: a small Hub, a checkpoint trained on real text, and the scripts that trained it."""
