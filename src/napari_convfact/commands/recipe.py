"""``convfact run RECIPE.json``: make a result again from its provenance record."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_convfact.commands import large_data
from napari_convfact.commands.operations import run_on_images
from napari_convfact.operations.checksum import checksum
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.recipe import Recipe, as_recorded, load_recipe
from napari_convfact.storage.formats import check_output


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
    large_data.add_flags(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    recipe = load_recipe(options.recipe)
    how = large_data.options_from(options)
    output = check_output(options.output, overwrite=how.overwrite or how.joining)
    inputs = _inputs(recipe, _given(options.input), output)
    run_on_images(recipe.operation, recipe.parameters, inputs, output, how)


def _inputs(recipe: Recipe, given: dict[str, Path], output: Path) -> dict[str, SpatialImage]:
    paths = {}
    known = [item.name for item in recipe.operation.inputs]
    for name in given:
        if name not in known:
            raise ValueError(
                f"{recipe.operation.name} has no input {name!r}: it takes {', '.join(known)}."
            )
    for item in recipe.operation.inputs:
        source = recipe.sources.get(item.name, {})
        if item.name in given:
            paths[item.name] = given[item.name]
        elif "path" in source:
            paths[item.name] = Path(source["path"])
        elif not item.optional:
            raise ValueError(
                f"The recipe does not say which file its {item.name} is: "
                f"pass --input {item.name}=FILE."
            )
    images = large_data.open_inputs(recipe.operation, paths, output)
    return {
        name: image if name in given else _checked(image, recipe.sources[name])
        for name, image in images.items()
    }


def _checked(image: SpatialImage, source: dict[str, Any]) -> SpatialImage:
    """Return the image as it was when the recipe was written, if it is still that one."""
    if not {"name", "shape", "scale", "units"} <= source.keys():
        return image  # a recipe that was written by hand needs no more than the path
    if not all(isinstance(source[name], list) for name in ("shape", "scale", "units")):
        raise ValueError("The recipe's shapes, scales and units must be lists, one entry per axis.")
    recorded = as_recorded(image, source)
    found = checksum(image.data)
    if found and source.get("checksum", found) != found:
        raise ValueError(
            f"{image.path} holds other values than the recipe was made with: pass the file that "
            "does, or this one, with --input."
        )
    return recorded


def _given(pairs: list[str]) -> dict[str, Path]:
    paths = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals:
            raise ValueError(f"--input takes NAME=FILE, as in --input psf=psf.tif, not {pair!r}.")
        paths[name] = Path(path)
    return paths
