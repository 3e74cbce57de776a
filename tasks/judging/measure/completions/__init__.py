"""One client for the completions of every side, and the strict reading of what servers answer."""
