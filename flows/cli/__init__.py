"""The command line `enginery`.

`main` is the one place where errors become text and exit codes. Nothing is imported here: commands are
imported when they run, so that `enginery --help` loads none.
"""
