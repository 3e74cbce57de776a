"""Plans, releases and commands as text for a terminal. Pure."""
