"""A scroll area that scrolls up and down and is always as wide as its content needs."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QScrollArea, QWidget

_LEAST_WIDTH = 320
_LEAST_HEIGHT = 160


class VerticalScrollArea(QScrollArea):
    """Shows a form that may be taller than the screen.

    Parameters
    ----------
    content : QWidget
        The form.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Pass on that the content needs another width: rows were shown, or text came."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the content's least width with room for the scroll bar."""
        bar = self.verticalScrollBar().sizeHint().width()
        width = self.widget().minimumSizeHint().width() + bar
        return QSize(max(width, _LEAST_WIDTH), _LEAST_HEIGHT)
