"""A small plot that grows while a job runs."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

_HEIGHT = 110
_MARGIN = 8.0
_TITLE = 16.0
_LINE = "#5a9bd4"


class Curve(QWidget):
    """Plots values against the number of the step, scaled to what there is."""

    def __init__(self) -> None:
        super().__init__()
        self._title = ""
        self._points: list[tuple[float, float]] = []
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points that are plotted."""
        return list(self._points)

    def clear(self) -> None:
        """Forget all points."""
        self._points = []
        self.update()

    def add(self, title: str, step: float, value: float) -> None:
        """Add a point; another title, or a step back, begins a new curve."""
        if title != self._title or (self._points and step <= self._points[-1][0]):
            self._points = []
        self._title = title
        self._points.append((step, value))
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the curve."""
        del event
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(self.foregroundRole())
        painter.setPen(text)
        painter.drawText(QRectF(_MARGIN, 0, self.width() - 2 * _MARGIN, _TITLE), self._caption())
        if len(self._points) > 1:
            painter.setPen(QPen(QColor(_LINE), 2))
            painter.drawPolyline(QPolygonF([QPointF(x, y) for x, y in self._on_screen()]))
        painter.end()

    def _caption(self) -> str:
        if not self._points:
            return self._title
        step, value = self._points[-1]
        return f"{self._title} {value:.6g} after {step:g}"

    def _on_screen(self) -> list[tuple[float, float]]:
        steps, values = zip(*self._points, strict=True)
        width = self.width() - 2 * _MARGIN
        height = self.height() - _TITLE - 2 * _MARGIN
        across = max(max(steps) - min(steps), 1e-12)
        # The first steps change most by far; they would flatten all that follows.
        shown = sorted(values)[len(values) // 10 :]
        low, high = shown[0], shown[-1]
        up = max(high - low, 1e-12)
        return [
            (
                _MARGIN + width * (step - min(steps)) / across,
                _TITLE + _MARGIN + height * (1 - min(max((value - low) / up, 0), 1)),
            )
            for step, value in self._points
        ]
