"""Plans of specs: their commands, kept as files, and stores in which everything was made already."""
