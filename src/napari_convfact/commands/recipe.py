"""``convfact run RECIPE.json``: make a result again from its provenance record."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_convfact.commands.operations import run_on_files
from napari_convfact.operations.recipe import load_recipe


def add_command(commands: Any) -> None:
    """Add the subcommand."""
    summary = "Run a recipe that was saved from the viewer or kept with a result."
    parser = commands.add_parser("run", help=summary, description=summary)
    parser.add_argument("recipe", metavar="RECIPE.json", help="The recipe.")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="File to write.")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="Take this file for an input instead of the recipe's.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace files that exist already."
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    recipe = load_recipe(options.recipe)
    paths = recipe.paths | _given(options.input)
    wanted = [item.name for item in recipe.operation.inputs if not item.optional]
    for name in wanted:
        if name not in paths:
            raise ValueError(
                f"The recipe does not say which file its {name} is: pass --input {name}=FILE."
            )
    run_on_files(
        recipe.operation, recipe.parameters, paths, options.output, overwrite=options.overwrite
    )


def _given(pairs: list[str]) -> dict[str, Path]:
    paths = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals:
            raise ValueError(f"--input takes NAME=FILE, as in --input psf=psf.tif, not {pair!r}.")
        paths[name] = Path(path)
    return paths
