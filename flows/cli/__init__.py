"""The command line `enginery`.

`main` is the only place that turns errors into text and exit codes. Nothing is imported here: commands are
imported when they run, so that `enginery --help` loads none of them.
"""
