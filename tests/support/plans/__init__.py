"""Plans of specs: their commands, kept as files; stores of what was made already; what identifies stages."""
