"""The command line as a whole: commands, mistakes, and errors in a line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from ambos.cli.train import INTERRUPTED
from ambos.core.errors import AmbosError, suggest, user_line
from ambos.core.version import __version__

COMMANDS = ("train", "resume", "evaluate", "predict", "bench", "demo", "info")
BEGINNING = """\
to begin with:
  ambos demo                       a network that reads digits, in half a minute
  ambos train --help               shows a file to train with
  ambos COMMAND --help             examples of every command
"""
PASSING_ON = ("bench",)  # options that they do not know belong to somebody else


class Parser(argparse.ArgumentParser):
    """Proposes the nearest command for one that does not exist."""

    def error(self, message: str) -> NoReturn:
        found = message.partition("invalid choice: '")[2].partition("'")[0]
        hint = suggest(found, COMMANDS) if found else ""
        self.print_usage(sys.stderr)
        text = f"unknown command {found!r}{hint}" if found else message
        self.exit(2, f"{self.prog}: {text}\n")


def parser() -> Parser:
    """The whole command line; what commands compute with is imported when they run."""
    whole = Parser(
        prog="ambos", description="One deep-learning framework for every style.",
        epilog=BEGINNING, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    whole.add_argument("--version", action="version", version=f"ambos {__version__}")
    each = whole.add_subparsers(dest="command", metavar=f"{{{','.join(COMMANDS)}}}")
    for name in COMMANDS:
        command = import_module(f"ambos.cli.{name}")
        examples = "\n".join(f"  {example}" for example in command.EXAMPLES)
        one = each.add_parser(
            name, help=command.HELP, epilog=f"{getattr(command, 'MORE', '')}examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        one.description = command.HELP
        command.arguments(one)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    name = ""
    try:
        whole = parser()
        chosen, rest = whole.parse_known_args(arguments)
        if chosen.command is None:
            whole.print_help()
            return 0
        name = f"{chosen.command} "
        if rest and chosen.command not in PASSING_ON:
            whole.error(f"{chosen.command}: unknown arguments: {' '.join(rest)}")
        chosen.rest = rest
        status: int = import_module(f"ambos.cli.{chosen.command}").run(chosen)
        return status
    except BrokenPipeError:  # the reader has seen enough: `ambos info | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"ambos: {name}was interrupted", file=sys.stderr)
        return INTERRUPTED
    except (AmbosError, OSError) as error:
        # Their line is told where it is in a module of theirs, not where it is who called us.
        print(f"ambos: {str(error).removesuffix(f' [{user_line()}]')}", file=sys.stderr)
        return 1
