"""What an engine has to clear: each gate reads what was measured, and says what it came to and why. Pure."""
