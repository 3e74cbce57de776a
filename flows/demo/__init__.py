"""The demo: a small Hub, a checkpoint trained on real text, and the scripts that trained it.

Nothing is imported here: `enginery demo` says what is missing before it loads the stack and the Hub.
"""
