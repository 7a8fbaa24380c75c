"""A layer that shows what the form would do to the visible part of the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_convfact.gui.arrange import look_at
from napari_convfact.gui.crop import VisibleCrop, crop_placement, visible_crop
from napari_convfact.gui.job_runner import JobRunner, Outcome
from napari_convfact.gui.layers import colormap_of, placement, spatial_image
from napari_convfact.operations.operation import Operation, Result
from napari_convfact.operations.parameters import Parameters

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_PAUSE_MS = 300


@dataclass(frozen=True)
class PreviewRequest:
    """What to preview.

    Attributes
    ----------
    layers : dict of str to Layer
        The chosen layers by input name.
    parameters : Parameters
        What the form says.
    """

    layers: dict[str, Layer]
    parameters: Parameters


class Preview(QObject):
    """Follows the form, the view and the layers after a short pause.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the preview layer is shown.
    operation : Operation
        What is previewed; its first input is the image, its second, if any, the kernel.
    request : callable
        Returns the `PreviewRequest` for the form as it stands, or raises ValueError.
    parent : QObject
        The widget.

    Attributes
    ----------
    said : Signal(str)
        A sentence for the form: why there is no preview, or nothing.
    shown : Signal()
        Sent when the layer shows a result.
    """

    said = Signal(str)
    shown = Signal()

    def __init__(
        self,
        viewer: Viewer,
        operation: Operation,
        request: Callable[[], PreviewRequest],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._operation = operation
        self._request = request
        self._runner = JobRunner(self)
        self._runner.finished.connect(self._on_finished)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._start)
        self._source: tuple[Layer, VisibleCrop] | None = None
        self._shown: tuple[Layer, ...] = ()
        self._enabled = self._held = False
        self._told = ""
        self._kind: tuple[str, int] | None = None
        self.layer: Layer | None = None

    @property
    def name(self) -> str:
        """Name of the preview layer."""
        return f"{self._operation.title} preview"

    def set_enabled(self, enabled: bool) -> None:
        """Turn the preview on or off; off removes its layer."""
        self._enabled = enabled
        dims = self._viewer.dims.events
        events = (dims.point, dims.ndisplay, self._viewer.scene.camera.events)
        for event in events:
            (event.connect if enabled else event.disconnect)(self.update)
        if enabled:
            self._look()
            if not self._pause.isActive():  # the view moves, and layers follow when it is drawn
                self._start()
            return
        self._pause.stop()
        self._runner.cancel()
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer, self._shown = None, ()
        self._tell("")

    @property
    def lost_a_layer(self) -> bool:
        """Whether a layer that is previewed was taken out of the viewer."""
        return any(layer not in self._viewer.layers for layer in self._shown)

    def update(self, event: object = None) -> None:
        """Show the change after a pause; a running preview is cancelled."""
        del event
        if self._enabled:
            self._runner.cancel()
            self._pause.start()

    def hold(self, held: bool) -> None:
        """Wait while a run is under way, for which the processors are wanted."""
        self._held = held
        self.update()

    def _tell(self, text: str) -> None:
        """Say something, or take back what was said; what a run has said stays."""
        if text or self._told:
            self._told = text
            self.said.emit(text)

    def _look(self) -> None:
        """Bring the image into view where something else is: a new kernel, for instance."""
        try:
            layers = self._request().layers
        except ValueError:
            return  # the form says why there is nothing to see
        if self._viewer.dims.ndisplay == 2:
            look_at(self._viewer, next(iter(layers.values())))

    def _start(self) -> None:
        if not self._enabled or self._held:
            return
        if self._runner.busy:  # cancelled, but not yet at its next step
            self._pause.start()
            return
        try:
            request = self._request()
        except ValueError:
            self._tell("")  # the form says already why nothing can run
            return
        try:
            source, crop, inputs = self._crop(request)
        except ValueError as error:
            self._tell(str(error))
            return
        self._tell("")
        self._source, self._shown = (source, crop), tuple(request.layers.values())
        self._runner.start(
            lambda: self._operation.job(inputs, request.parameters), self.name, show=False
        )

    def _crop(self, request: PreviewRequest) -> tuple[Any, VisibleCrop, dict[str, Any]]:
        inputs = {name: spatial_image(layer) for name, layer in request.layers.items()}
        first, *others = inputs
        if self._operation.margin is not None:
            margin = self._operation.margin(inputs, request.parameters)
        else:
            margin = tuple(inputs[others[0]].data.shape) if others else ()
        source = request.layers[first]
        if source is self.layer:
            raise ValueError("This is the preview itself: choose another image.")
        crop = visible_crop(self._viewer, source, margin[-source.ndim :])
        return source, crop, inputs | {first: crop.image}

    def _on_finished(self, outcome: Outcome) -> None:
        if not self._enabled or outcome.cancelled or self._source is None:
            return
        if outcome.error is not None:
            self._tell(f"No preview: {outcome.error}")
            return
        source, crop = self._source
        result = _to_show(outcome.result, source.ndim, self._operation.inputs[0].name)
        if result is None:
            self._tell("No preview: no result that is ticked is an image like the input.")
            return
        where = crop_placement(source, crop, result)
        data = result.data[(slice(None),) * (len(where["scale"]) - source.ndim) + crop.inner]
        layer, kind = self.layer, (result.name, data.ndim)
        if layer is None or not self._fits(layer, kind, where):
            self._add(data, ({} if result.rgb else colormap_of(source)) | where, result)
            self._kind = kind
        else:
            layer.data = data
            if not np.array_equal(layer.translate, where["translate"]):  # it draws it again
                layer.translate = where["translate"]
        self.shown.emit()

    def _fits(self, layer: Layer, kind: tuple[str, int], where: dict[str, Any]) -> bool:
        """Whether the layer can show a result when it is shifted."""
        if layer not in self._viewer.layers or self._kind != kind:
            return False
        here = placement(layer, layer.ndim)
        turned = ("scale", "rotate", "shear", "affine")
        return all(np.allclose(here[name], where[name]) for name in turned)

    def _add(self, data: Any, look: dict[str, Any], result: Result) -> None:
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        selected = set(self._viewer.layers.selection)
        options = look | dict(result.display)
        self.layer = self._viewer.add_image(data, name=self.name, rgb=result.rgb, **options)
        self._viewer.layers.selection = selected


def _to_show(results: Sequence[Result], ndim: int, like: str) -> Result | None:
    """Return the last picture on the image's grid that a run shows, or else the last stack."""
    pictures = [
        result
        for result in results
        if result.kind == "image" and result.like == like and result.display.get("visible", True)
    ]
    plain = [result for result in pictures if result.data.ndim - result.rgb == ndim]
    shown = plain or pictures
    return shown[-1] if shown else None
