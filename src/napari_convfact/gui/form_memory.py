"""A form that shows what it showed last."""

from __future__ import annotations

import logging

from qtpy.QtCore import QObject, QTimer

from napari_convfact.gui.form import ParameterForm
from napari_convfact.gui.preferences import preferred_device
from napari_convfact.gui.remembered import remember, remembered

_PAUSE_MS = 500
_log = logging.getLogger(__name__)


class FormMemory(QObject):
    """Fills a form, and keeps what it shows a moment after a change.

    The device is not remembered: it comes from the preferences.

    Parameters
    ----------
    operation : str
        The operation's name, under which the values are kept.
    form : ParameterForm
        The form.
    """

    def __init__(self, operation: str, form: ParameterForm) -> None:
        super().__init__(form)
        self._operation = operation
        self._form = form
        self._fill()
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self.keep)
        form.changed.connect(self._pause.start)

    def keep(self) -> None:
        """Keep what the form shows."""
        values = self._form.values()
        values.pop("device", None)
        remember(self._operation, values)

    def _fill(self) -> None:
        values = remembered(self._operation)
        if "device" in self._form.values():
            values["device"] = preferred_device()
        for name, value in values.items():
            try:
                self._form.set_values({name: value})
            except (KeyError, TypeError, ValueError):
                _log.debug("The remembered value %r of %s is not legal any more.", value, name)
