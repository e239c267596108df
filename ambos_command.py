"""The `ambos` command before `import ambos`, which takes a fifth of a second: Ctrl-C is a line then
as well. It lies beside the package, since what lies inside is imported after it."""

import sys

INTERRUPTED = 130  # as shells say of Ctrl-C


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        from ambos.cli import main
    except KeyboardInterrupt:
        print("ambos: was interrupted", file=sys.stderr)
        return INTERRUPTED
    return main()


if __name__ == "__main__":
    sys.exit(main())
