"""Workers and wheels for toolchains of tests."""
