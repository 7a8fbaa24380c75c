"""The command line: ``convfact <operation> ...``, made from the registry of operations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from napari_convfact import __version__
from napari_convfact.commands import demo, large_data, operations, recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, or 2 after one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (ValueError, RuntimeError, MemoryError, OSError) as error:
        print(f"convfact: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("convfact: cancelled", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convfact",
        description="Convolution kernels on images: deconvolve and more.",
    )
    parser.add_argument("--version", action="version", version=f"convfact {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    operations.add_commands(commands)
    demo.add_command(commands)
    recipe.add_command(commands)
    large_data.add_commands(commands, operations.add_planning)
    return parser


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
