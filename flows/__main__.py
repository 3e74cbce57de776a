"""`python -m flows`, the same as `enginery`."""

from flows.cli.main import main

if __name__ == "__main__":
    main()
