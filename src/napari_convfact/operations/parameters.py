"""Parameters as data: one frozen dataclass per operation serves every face.

The form, the command line's flags, the recipe and the provenance record are all derived
from `fields_of`. A parameter is declared as
``strength: Annotated[float | Literal["auto"], Field(label, help, ...)] = "auto"``.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

_FIELDS: dict[type, tuple[ParameterField, ...]] = {}


@dataclass(frozen=True)
class Field:
    """What the faces need to know of a parameter besides its type.

    Attributes
    ----------
    label : str
        Its name in the form.
    help : str
        One sentence: the form's tool tip and the command line's help.
    minimum, maximum : float or None
        Inclusive limits of a number.
    step : float or None
        Increment of the form's spin box.
    unit : str
        Physical unit, shown behind the number.
    advanced : bool
        Whether the form folds it away.
    logarithmic : bool
        Whether the form steps through powers of ten.
    suggestions : tuple of str
        Texts that the form offers where others are legal too.
    group : str
        Tick boxes of one group lie side by side below this heading.
    when : mapping of str to tuple, optional
        The values of other parameters for which this one has a meaning,
        as ``{"method": ("wiener", "tikhonov")}``.
    writes : str
        The ending of the file that is written where the text says; empty for other parameters.
    """

    label: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    unit: str = ""
    advanced: bool = False
    logarithmic: bool = False
    suggestions: tuple[str, ...] = ()
    group: str = ""
    when: Mapping[str, tuple[Any, ...]] | None = None
    writes: str = ""


@dataclass(frozen=True)
class ParameterField:
    """A parameter as `fields_of` reads it from its declaration.

    Attributes
    ----------
    name : str
        The attribute's name.
    type : type
        ``bool``, ``int``, ``float`` or ``str``.
    choices : tuple of str
        The legal values of a ``Literal``; empty otherwise.
    keywords : tuple of str or None
        Values besides the type's own, as ``("auto",)`` or ``(None,)``.
    default : object
        The default value.
    field : Field
        Label, help, limits.
    """

    name: str
    type: type
    choices: tuple[str, ...]
    keywords: tuple[str | None, ...]
    default: Any
    field: Field

    def check(self, value: Any) -> Any:
        """Return `value` in the parameter's own type.

        Raises
        ------
        ValueError
            If it is of another type or outside the limits.
        """
        if value in self.keywords and not isinstance(value, (bool, int, float)):
            return value
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{self.name} must be {_or(self.choices)}, not {value!r}.")
            return value
        return self._check_range(self._convert(value))

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the parameter has a meaning beside the other parameters' `values`."""
        return all(values[name] in wanted for name, wanted in (self.field.when or {}).items())

    def _convert(self, value: Any) -> Any:
        wrong = ValueError(f"{self.name} must be {self._expected()}, not {value!r}.")
        if self.type in (bool, str):
            if not isinstance(value, self.type):
                raise wrong
            return value
        if isinstance(value, (bool, str)):
            raise wrong
        try:
            converted = self.type(value)
        except (TypeError, ValueError, OverflowError):
            raise wrong from None
        if converted != value:
            raise wrong
        return converted

    def _check_range(self, value: Any) -> Any:
        low, high = self.field.minimum, self.field.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"{self.name} must be {self._expected()}, not {value!r}.")
        return value

    def _expected(self) -> str:
        noun = {
            bool: "True or False",
            int: "a whole number",
            float: "a number",
            str: "text",
        }[self.type]
        low, high = self.field.minimum, self.field.maximum
        if low is not None and high is not None:
            noun += f" from {low:g} to {high:g}"
        elif low is not None:
            noun += f" of at least {low:g}"
        elif high is not None:
            noun += f" of at most {high:g}"
        return _or((noun, *map(repr, self.keywords))) if self.keywords else noun


class Parameters:
    """Base of the parameter dataclasses: values are checked when one is made."""

    def __post_init__(self) -> None:
        for parameter in fields_of(type(self)):
            object.__setattr__(self, parameter.name, parameter.check(getattr(self, parameter.name)))

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a JSON-ready dict."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make the parameters from a dict; names that are left out take their default.

        Raises
        ------
        ValueError
            If a name is unknown or a value is not legal.
        """
        known = [parameter.name for parameter in fields_of(cls)]
        unknown = [name for name in values if name not in known]
        if unknown:
            raise ValueError(f"Unknown parameter {unknown[0]!r}: known are {', '.join(known)}.")
        return cls(**values)


def fields_of(cls: type[Parameters]) -> tuple[ParameterField, ...]:
    """Return the parameters that a dataclass declares, in their order."""
    if cls not in _FIELDS:  # reading them takes a millisecond, and a slider asks at each step
        _FIELDS[cls] = _declared(cls)
    return _FIELDS[cls]


def _declared(cls: type[Parameters]) -> tuple[ParameterField, ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    declared = []
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        annotation, *extras = typing.get_args(hints[item.name])
        (field,) = (extra for extra in extras if isinstance(extra, Field))
        base, choices, keywords = _split(annotation)
        declared.append(ParameterField(item.name, base, choices, keywords, item.default, field))
    return tuple(declared)


def _split(annotation: Any) -> tuple[type, tuple[str, ...], tuple[str | None, ...]]:
    """Split a type hint into its plain type, its choices and the extra keywords."""
    if typing.get_origin(annotation) is Literal:
        return str, typing.get_args(annotation), ()
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation, (), ()
    base: type = str
    keywords: list[str | None] = []
    for part in typing.get_args(annotation):
        if part is type(None):
            keywords.append(None)
        elif typing.get_origin(part) is Literal:
            keywords.extend(typing.get_args(part))
        else:
            base = part
    return base, (), tuple(keywords)


def _or(items: typing.Iterable[str]) -> str:
    *first, last = [str(item) for item in items]
    return f"{', '.join(first)} or {last}" if first else last
