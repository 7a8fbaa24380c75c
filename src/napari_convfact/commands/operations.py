"""``convfact <operation> IMAGE ... -o OUT`` for every operation of the registry."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_convfact.batch.request import Options, Request
from napari_convfact.commands import large_data
from napari_convfact.commands.flags import add_flags, parameters_from
from napari_convfact.commands.progress import progress_bar
from napari_convfact.foundation.job import run
from napari_convfact.operations.operation import Operation, Result, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.placement import placed
from napari_convfact.operations.provenance import provenance
from napari_convfact.operations.registry import OPERATIONS
from napari_convfact.operations.written_files import check_written_files, with_files_for
from napari_convfact.storage.formats import (
    ENDINGS,
    beside,
    check_output,
    read_image,
    write_image,
)


def add_commands(commands: Any) -> None:
    """Add a subcommand for each operation."""
    for operation in OPERATIONS.values():
        parser = _add_operation(commands, operation)
        parser.add_argument(
            "--overwrite", action="store_true", help="Replace files that exist already."
        )
        parser.set_defaults(command=_run, operation=operation)


def add_planning(commands: Any, plan: Any) -> None:
    """Add a subcommand for each operation that only plans it."""
    for operation in OPERATIONS.values():
        parser = _add_operation(commands, operation)
        parser.set_defaults(command=_plan, operation=operation, plan=plan, overwrite=False)


def _add_operation(commands: Any, operation: Operation) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        operation.name, help=operation.summary, description=operation.summary
    )
    for position, item in enumerate(operation.inputs):
        if position == 0 and not item.optional:
            text = f"{item.help} A folder runs on each image in it."
            parser.add_argument(item.name, metavar=item.name.upper(), help=text)
        else:
            required = not item.optional
            parser.add_argument(f"--{item.name}", metavar="FILE", required=required, help=item.help)
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="File, or folder, to write."
    )
    add_flags(parser, operation.parameters)
    large_data.add_flags(parser)
    return parser


def _paths(options: argparse.Namespace) -> dict[str, Path]:
    return {
        item.name: Path(getattr(options, item.name))
        for item in options.operation.inputs
        if getattr(options, item.name) is not None
    }


def _plan(options: argparse.Namespace) -> None:
    operation: Operation = options.operation
    parameters = parameters_from(options, operation.parameters)
    options.plan(operation, parameters, _paths(options), options)


def _run(options: argparse.Namespace) -> None:
    operation: Operation = options.operation
    parameters = parameters_from(options, operation.parameters)
    paths = _paths(options)
    how = large_data.options_from(options)
    first = operation.inputs[0].name
    # An OME-Zarr image is a folder, too.
    if first in paths and paths[first].is_dir() and paths[first].suffix != ".zarr":
        _run_on_folder(operation, parameters, paths, Path(options.output), how)
        return
    output = check_output(options.output, overwrite=how.overwrite or how.joining)
    inputs = large_data.open_inputs(operation, paths, output)
    run_on_images(operation, parameters, inputs, output, how)


def run_on_images(
    operation: Operation,
    parameters: Parameters,
    inputs: Mapping[str, SpatialImage],
    output: Path,
    options: Options,
) -> None:
    """Run an operation and write its results.

    The first result goes to `output`; further ones beside it, with their name added.
    """
    if not (options.overwrite or options.joining):
        check_written_files(parameters)
    if large_data.wants_tiles(operation, parameters, inputs, output, options):
        large_data.run_in_tiles(Request(operation, parameters, inputs, output), options)
        return
    inputs = large_data.in_memory(inputs)
    with progress_bar(operation.title) as on_step:
        results = run(operation.job(inputs, parameters), on_step)
    outputs = _output_paths(output, results)
    for path in outputs[1:]:
        check_output(path, overwrite=options.overwrite)
    for path, result in zip(outputs, results, strict=True):
        record = provenance(operation, parameters, inputs, result.summary, result.settled)
        image = placed(result, inputs)
        write_image(path, image, provenance=record, overwrite=options.overwrite)
        print(path)
    _tell(results)


def _run_on_folder(
    operation: Operation,
    parameters: Parameters,
    paths: Mapping[str, Path],
    output: Path,
    options: Options,
) -> None:
    """Run on each image of a folder; skip what is done and report failures at the end."""
    first, *others = operation.inputs
    fixed = {item.name: read_image(paths[item.name]) for item in others if item.name in paths}
    output.mkdir(parents=True, exist_ok=True)
    files = _images_in(paths[first.name])
    if not files:
        raise ValueError(f"The folder {paths[first.name]} holds no file that can be read.")
    failures = []
    for file in files:
        target = output / file.name
        if target.exists() and not options.overwrite:
            print(f"{target} is there already: skipped")
            continue
        try:
            inputs = {first.name: read_image(file), **fixed}
            own = with_files_for(parameters, file.stem) if len(files) > 1 else parameters
            run_on_images(operation, own, inputs, target, options)
        except (ValueError, RuntimeError, OSError) as error:
            failures.append(file.name)
            print(f"{file.name}: {' '.join(str(error).split())}", file=sys.stderr)
    if failures:
        raise ValueError(f"{len(failures)} of {len(files)} files failed: {', '.join(failures)}.")


def _images_in(folder: Path) -> list[Path]:
    """Return the files whose ending is known, without hidden ones.

    macOS puts a hidden ``._cells.tif`` beside each ``cells.tif`` on foreign disks.
    """
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith(".")
    )


def _output_paths(output: Path, results: Sequence[Result]) -> list[Path]:
    paths = [output]
    for result in results[1:]:
        word = result.name.rsplit(" ", maxsplit=1)[-1]
        paths.append(beside(output, word))
    return paths


def _tell(results: Sequence[Result]) -> None:
    for name, value in results[0].summary.items() if results else ():
        if isinstance(value, (str, int, float)) and value != "":
            text = f"{value:.4g}" if isinstance(value, float) else value
            print(f"  {name}: {text}")
