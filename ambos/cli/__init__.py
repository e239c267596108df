"""The `ambos` command: train what a TOML file describes, and what belongs to it."""

from ambos.cli.command_line import main

__all__ = ["main"]
