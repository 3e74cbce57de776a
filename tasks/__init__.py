"""The pipeline's stages, the toolchains that they run in, and the judging of what they made."""
