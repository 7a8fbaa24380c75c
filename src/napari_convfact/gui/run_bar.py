"""What stays in sight below a form: what a run will do, the buttons, the progress."""

from __future__ import annotations

from typing import TypeVar

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_convfact.foundation.job import Step

_LEAST_TEXT_WIDTH = 300  # of a dock that is as narrow as its form allows
_Label = TypeVar("_Label", bound=QLabel)


class RunBar(QWidget):
    """Run and Cancel, with what they need around them.

    Parameters
    ----------
    menu : QWidget
        The button with everything else, beside Run and Cancel.
    previews : bool
        Whether to offer the preview and the comparison.

    Attributes
    ----------
    run, cancel, compare : QPushButton
    preview : QCheckBox
    plan : QLabel
        What a run would do, or why it cannot run.
    progress : QProgressBar
    """

    def __init__(self, menu: QWidget, *, previews: bool) -> None:
        super().__init__()
        self.plan = _selectable(_WholeText())
        self.preview = QCheckBox("Preview")
        self.preview.setToolTip("Show the result on the visible part as you change the form.")
        self.compare = QPushButton("Before / after")
        self.compare.setToolTip("Hide or show the newest result, to compare it with its image.")
        self.compare.setEnabled(False)
        self.run = QPushButton("Run")
        self.cancel = QPushButton("Cancel")
        self.cancel.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.hide()
        for widget in (self.preview, self.compare):
            widget.setVisible(previews)
        self._lay_out(menu)

    def show_plan(self, text: str, *, ready: bool) -> None:
        """Say what a run would do, or why it cannot run."""
        self.plan.setText(text)
        self.plan.setVisible(bool(text))
        self.run.setEnabled(ready)
        self.run.setToolTip("" if ready else text)

    def add_to_plan(self, text: str) -> None:
        """Add what was found out later."""
        self.plan.setText(f"{self.plan.text()} {text}")

    def set_busy(self, busy: bool) -> None:
        """Offer Cancel and the progress during a run, Run otherwise."""
        self.run.setEnabled(not busy)
        self.cancel.setEnabled(busy)
        self.progress.setVisible(busy)
        self.progress.setRange(0, 0)
        self.progress.setFormat("Starting")

    def show_step(self, step: Step) -> None:
        """Show how far a run is."""
        self.progress.setRange(0, step.total)
        self.progress.setValue(step.done)
        self.progress.setFormat(step.message or "%p %")

    def show_cancelling(self) -> None:
        """Say that the run will stop at its next step."""
        self.cancel.setEnabled(False)
        self.progress.setFormat("Cancelling")

    def _lay_out(self, menu: QWidget) -> None:
        view = QHBoxLayout()
        view.addWidget(self.preview, 1)
        view.addWidget(self.compare, 1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run, 2)
        buttons.addWidget(self.cancel, 1)
        buttons.addWidget(menu)
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addWidget(self.plan)
        layout.addLayout(view)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)


class _WholeText(QLabel):
    """Wrapped text that is never given less height than it needs.

    A layout takes the least height of a label before it knows how wide the label will be.
    """

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the height of the text at its width, or before that at the least one."""
        hint = super().minimumSizeHint()
        width = self.width() if self.isVisible() else _LEAST_TEXT_WIDTH
        return QSize(hint.width(), max(hint.height(), self.heightForWidth(width)))

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Ask for another height when the width changes."""
        super().resizeEvent(event)
        if event is not None and event.oldSize().width() != event.size().width():
            self.updateGeometry()


def text_label() -> QLabel:
    """Return a label for sentences that can be copied."""
    return _selectable(QLabel())


def _selectable(label: _Label) -> _Label:
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
