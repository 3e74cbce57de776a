"""The worker that compiles a checkpoint with torch.export and AOTInductor; `build` is the program."""
