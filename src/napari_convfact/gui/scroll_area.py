"""A scroll area that scrolls up and down and is always as wide as its content needs."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import QScrollArea, QWidget

_LEAST_WIDTH = 320
_LEAST_HEIGHT = 160
_LAYOUT_MS = 300  # a layout takes a few rounds of events


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
        self._target: QWidget | None = None
        self._laying_out = QTimer(self)
        self._laying_out.setSingleShot(True)
        self._laying_out.setInterval(_LAYOUT_MS)
        self.verticalScrollBar().rangeChanged.connect(self._follow)

    def scroll_to(self, widget: QWidget) -> None:
        """Scroll until a widget of the content is in sight, or its top where it is too tall.

        Qt's own way is content where a label's text cursor is in sight.
        """
        self._target = widget
        self._laying_out.start()
        self._follow()

    def _follow(self) -> None:
        """Scroll to the target, again each time that the layout changes the range."""
        if not self._laying_out.isActive() or self._target is None:
            return
        top = self._target.mapTo(self.widget(), QPoint(0, 0)).y()
        for y in (top + self._target.height(), top):
            self.ensureVisible(0, y, 0, 0)

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
