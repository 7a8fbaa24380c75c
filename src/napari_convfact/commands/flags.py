"""Command line flags from an operation's parameters, and parameters from the flags."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from napari_convfact.operations.parameters import ParameterField, Parameters, fields_of


def add_flags(parser: argparse.ArgumentParser, parameters: type[Parameters]) -> None:
    """Add a flag for each parameter."""
    group = parser.add_argument_group("parameters")
    for field in fields_of(parameters):
        text = f"{field.field.help} (default: {_word(field.default)})".replace("%", "%%")
        flag = "--" + field.name.replace("_", "-")
        if field.type is bool:
            group.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=field.default, help=text
            )
        elif field.choices:
            group.add_argument(flag, choices=field.choices, default=field.default, help=text)
        else:
            group.add_argument(
                flag,
                type=_converter(field),
                default=field.default,
                metavar=_metavar(field),
                help=text,
            )


def parameters_from(options: argparse.Namespace, parameters: type[Parameters]) -> Parameters:
    """Return the parameters that the flags say."""
    return parameters.from_dict(
        {field.name: getattr(options, field.name) for field in fields_of(parameters)}
    )


def _converter(field: ParameterField) -> Callable[[str], Any]:
    words = {_word(keyword): keyword for keyword in field.keywords}

    def convert(text: str) -> Any:
        if text in words:
            return words[text]
        try:
            return field.check(field.type(text))
        except ValueError as error:
            message = str(error) if "must be" in str(error) else f"not a number: {text!r}"
            raise argparse.ArgumentTypeError(message) from None

    return convert


def _metavar(field: ParameterField) -> str:
    noun = {int: "N", float: "X", str: "TEXT"}[field.type]
    return "|".join([*map(_word, field.keywords), noun])


def _word(value: Any) -> str:
    return "none" if value is None else str(value)
