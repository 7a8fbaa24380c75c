"""The form shows what the dataclass declares and gives it back."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QLineEdit

from napari_convfact.gui.editors import TextEditor
from napari_convfact.gui.form import ParameterForm
from napari_convfact.operations.parameters import Field, Parameters


@dataclass(frozen=True)
class Everything(Parameters):
    mode: Annotated[Literal["plain", "fancy"], Field("Mode", "Which one.")] = "plain"
    strength: Annotated[
        float | Literal["auto"],
        Field(
            "Strength",
            "How much.",
            minimum=1e-12,
            maximum=1e6,
            logarithmic=True,
            when={"mode": ("fancy",)},
        ),
    ] = "auto"
    rcond: Annotated[
        float | None, Field("Cut-off", "Where.", minimum=1e-12, maximum=1, logarithmic=True)
    ] = None
    count: Annotated[int | Literal["auto"], Field("Count", "How many.", minimum=1)] = "auto"
    size: Annotated[int, Field("Size", "How large.", minimum=1, maximum=99, unit="px")] = 7
    sigma: Annotated[float, Field("Sigma", "How wide.", minimum=0, step=0.5)] = 2.5
    tick: Annotated[bool, Field("Tick", "Whether.", advanced=True)] = True
    text: Annotated[str, Field("Text", "What.", advanced=True)] = "3x3"
    device: Annotated[
        str, Field("Device", "Where.", advanced=True, suggestions=("auto", "cpu"))
    ] = "auto"


@pytest.fixture
def form(qtbot):
    form = ParameterForm(Everything)
    qtbot.addWidget(form)
    return form


def test_it_starts_with_the_defaults(form):
    assert form.parameters() == Everything()


def test_it_gives_back_what_is_set(form):
    wanted = Everything(
        mode="fancy",
        strength=0.02,
        rcond=0.5,
        count=12,
        size=9,
        sigma=0.5,
        tick=False,
        text="5x5, 3x3",
        device="cuda:1",
    )
    form.set_values(wanted.to_dict())
    assert form.parameters() == wanted


def test_keywords_can_be_set_again(form):
    form.set_values({"strength": 0.1, "count": 5, "rcond": 0.1})
    form.set_values({"strength": "auto", "count": "auto", "rcond": None})
    assert form.parameters() == Everything()


def test_rows_without_a_meaning_are_hidden(form):
    form.show()
    assert not form.editor("strength").isVisible()
    form.set_values({"mode": "fancy"})
    assert form.editor("strength").isVisible()


def test_a_chosen_number_is_shown_while_the_keyword_stays(form):
    form.show_chosen({"strength": 0.25, "unknown": 3})
    assert form.values()["strength"] == "auto"
    form.editor("strength")._box.setChecked(False)
    assert form.values()["strength"] == 0.25


def test_a_chosen_number_does_not_replace_the_user_s(form):
    form.set_values({"count": 500})
    form.show_chosen({"count": 4})
    assert form.values()["count"] == 500


def test_the_label_of_a_layer_explains_it_too(qtbot):
    layer = QLineEdit()
    layer.setToolTip("What to filter.")
    form = ParameterForm(Everything, above={"Image": layer})
    qtbot.addWidget(form)
    (label,) = [label for label in form.findChildren(QLabel) if label.text() == "Image"]
    assert label.toolTip() == "What to filter."


def test_it_says_when_something_changes(form, qtbot):
    with qtbot.waitSignal(form.changed, timeout=1000):
        form.editor("size").set_value(11)


def test_nonsense_in_a_number_is_taken_back(form):
    editor = form.editor("strength")
    form.set_values({"strength": 0.1})
    editor._number._line.setText("abc")
    editor._number._line.editingFinished.emit()
    assert form.values()["strength"] == 0.1


def test_an_editor_of_its_own_has_the_same_help(qtbot):
    own = TextEditor()
    form = ParameterForm(Everything, {"text": own})
    qtbot.addWidget(form)
    assert own.toolTip() == "What."


@pytest.mark.parametrize(("sigma", "shown"), [(0.022492, "0.022492"), (2.5, "2.50"), (30, "30.00")])
def test_numbers_are_not_rounded(form, sigma, shown):
    form.set_values({"sigma": sigma})
    assert form.values()["sigma"] == sigma
    assert form.editor("sigma").findChild(QDoubleSpinBox).text() == shown
