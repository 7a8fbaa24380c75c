"""``convfact <operation> IMAGE ... -o OUT`` for every operation of the registry."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_convfact.commands.flags import add_flags, parameters_from
from napari_convfact.commands.progress import progress_bar
from napari_convfact.foundation.job import run
from napari_convfact.operations.operation import Operation, Result
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.placement import placed
from napari_convfact.operations.provenance import provenance
from napari_convfact.operations.registry import OPERATIONS
from napari_convfact.storage.formats import check_output, read_image, write_image


def add_commands(commands: Any) -> None:
    """Add a subcommand for each operation."""
    for operation in OPERATIONS.values():
        parser = commands.add_parser(
            operation.name, help=operation.summary, description=operation.summary
        )
        for position, item in enumerate(operation.inputs):
            if position == 0 and not item.optional:
                parser.add_argument(item.name, metavar=item.name.upper(), help=item.help)
            else:
                parser.add_argument(
                    f"--{item.name}",
                    metavar="FILE",
                    required=not item.optional,
                    help=item.help,
                )
        parser.add_argument("-o", "--output", required=True, metavar="OUT", help="File to write.")
        parser.add_argument(
            "--overwrite", action="store_true", help="Replace files that exist already."
        )
        add_flags(parser, operation.parameters)
        parser.set_defaults(command=_run, operation=operation)


def _run(options: argparse.Namespace) -> None:
    operation: Operation = options.operation
    parameters = parameters_from(options, operation.parameters)
    paths = {
        item.name: getattr(options, item.name)
        for item in operation.inputs
        if getattr(options, item.name) is not None
    }
    run_on_files(operation, parameters, paths, options.output, overwrite=options.overwrite)


def run_on_files(
    operation: Operation,
    parameters: Parameters,
    paths: Mapping[str, str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
) -> None:
    """Run an operation on files and write its results.

    The first result goes to `output`; further ones beside it, with their name added.
    """
    output = check_output(output, overwrite=overwrite)
    inputs = {name: read_image(path) for name, path in paths.items()}
    with progress_bar(operation.title) as on_step:
        results = run(operation.job(inputs, parameters), on_step)
    outputs = _output_paths(output, results)
    for path in outputs[1:]:
        check_output(path, overwrite=overwrite)
    for path, result in zip(outputs, results, strict=True):
        record = provenance(operation, parameters, inputs, result.summary)
        write_image(path, placed(result, inputs), provenance=record, overwrite=overwrite)
        print(path)
    _tell(results)


def _output_paths(output: Path, results: Sequence[Result]) -> list[Path]:
    paths = [output]
    for result in results[1:]:
        word = result.name.rsplit(" ", maxsplit=1)[-1]
        paths.append(output.with_name(f"{output.stem}-{word}{output.suffix}"))
    return paths


def _tell(results: Sequence[Result]) -> None:
    for name, value in results[0].summary.items() if results else ():
        if value not in (None, "", [], ()):
            text = f"{value:.4g}" if isinstance(value, float) else value
            print(f"  {name}: {text}")
