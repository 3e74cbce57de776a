"""The worker that quantizes a checkpoint with NVIDIA ModelOpt; `main` is the program."""
