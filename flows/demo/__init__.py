"""The demo: a small Hub, a checkpoint that was trained on real text, and the script that trained it."""
