"""Parameters are checked, and every face reads them from one declaration."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from napari_convfact.operations.parameters import Field, Parameters, fields_of
from napari_convfact.operations.registry import OPERATIONS, find_operation


@dataclass(frozen=True)
class Example(Parameters):
    mode: Annotated[Literal["a", "b"], Field("Mode", "Which.")] = "a"
    count: Annotated[int | Literal["auto"], Field("Count", "How many.", minimum=1)] = "auto"
    weight: Annotated[float | None, Field("Weight", "How much.", minimum=0, maximum=1)] = None
    tick: Annotated[bool, Field("Tick", "Whether.", when={"mode": ("b",)})] = False


def test_declarations_are_read():
    mode, count, weight, tick = fields_of(Example)
    assert mode.choices == ("a", "b")
    assert (count.type, count.keywords) == (int, ("auto",))
    assert (weight.type, weight.keywords) == (float, (None,))
    assert not tick.applies({"mode": "a"})
    assert tick.applies({"mode": "b"})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"mode": "c"}, "mode must be a or b, not 'c'"),
        ({"count": 0}, "count must be a whole number of at least 1 or 'auto', not 0"),
        ({"count": 1.5}, "count must be a whole number"),
        ({"count": True}, "count must be a whole number"),
        ({"count": "many"}, "count must be"),
        ({"weight": 2}, "weight must be a number from 0 to 1 or None, not 2"),
        ({"weight": "0.5"}, "weight must be"),
        ({"tick": 1}, "tick must be True or False"),
        ({"other": 1}, "Unknown parameter 'other'"),
    ],
)
def test_illegal_values_are_refused_in_a_sentence(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Example.from_dict(values)


def test_legal_values_take_their_type():
    example = Example(count=3.0, weight=1)
    assert type(example.count) is int
    assert type(example.weight) is float


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_survives_json(name):
    parameters = OPERATIONS[name].parameters()
    again = type(parameters).from_dict(json.loads(json.dumps(parameters.to_dict())))
    assert again == parameters


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_parameter_is_explained(name):
    for field in fields_of(OPERATIONS[name].parameters):
        assert field.field.help.endswith("."), field.name
        assert len(field.field.label) < 25, field.name
        conditions = field.field.when or {}
        names = {item.name for item in dataclasses.fields(OPERATIONS[name].parameters)}
        assert set(conditions) <= names


def test_an_unknown_operation_lists_the_known_ones():
    with pytest.raises(ValueError, match="known are deconvolve"):
        find_operation("bake")
