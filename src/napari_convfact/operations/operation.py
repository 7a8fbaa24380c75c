"""What an operation is: inputs, parameters, a job, and results that know their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_convfact.foundation.job import Job
from napari_convfact.operations.parameters import Parameters


@dataclass(frozen=True)
class SpatialImage:
    """An array with its voxel size: what a file or a layer gives to an operation.

    Attributes
    ----------
    data : array_like
        Anything with shape, dtype and slicing; RGB(A) images have the colour axis last.
    name : str
        The layer's or the file's name.
    scale : tuple of float
        Size of a voxel along each axis (without the colour axis).
    units : tuple of str
        Unit of each axis; ``"pixel"`` when it is not calibrated.
    axis_labels : tuple of str
        Name of each axis.
    rgb : bool
        Whether the last axis of `data` is colour.
    path : str or None
        The file it came from, if there is one.
    translate : tuple of float
        Where the middle of the first voxel lies along each axis, in its unit.
    """

    data: Any
    name: str = "image"
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    axis_labels: tuple[str, ...] = ()
    rgb: bool = False
    path: str | None = None
    translate: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        ndim = self.ndim
        defaults = {
            "scale": (1.0,) * ndim,
            "units": ("pixel",) * ndim,
            "axis_labels": tuple(f"axis {i - ndim}" for i in range(ndim)),
            "translate": (0.0,) * ndim,
        }
        for name, default in defaults.items():
            value = tuple(getattr(self, name)) or default
            if len(value) != ndim:
                raise ValueError(f"{self.name}: {name} has {len(value)} entries for {ndim} axes.")
            object.__setattr__(self, name, value)

    @property
    def ndim(self) -> int:
        """Number of axes without the colour axis."""
        return len(self.data.shape) - self.rgb

    def last_axes(self, count: int) -> str:
        """Return the names of the last axes, for a sentence."""
        labels = self.axis_labels[-count:]
        if all(label.lstrip("-").isdecimal() for label in labels):  # the viewer's own names
            return f"the last {count} axes"
        return ", ".join(labels)

    @property
    def calibrated(self) -> bool:
        """Whether the voxel size is known."""
        return any(unit != "pixel" for unit in self.units) or any(s != 1 for s in self.scale)


@dataclass(frozen=True)
class Input:
    """An array that an operation needs.

    Attributes
    ----------
    name : str
        The key under which the job gets it.
    label, help : str
        For the form and the command line.
    kind : {"image", "kernel", "labels"}
        Kind of layer; a kernel is an image layer too.
    optional : bool
        Whether the job runs without it.
    """

    name: str
    label: str
    help: str
    kind: Literal["image", "kernel", "labels"] = "image"
    optional: bool = False


@dataclass(frozen=True)
class Result:
    """An array that an operation returns.

    Attributes
    ----------
    data : numpy.ndarray
        The values.
    name : str
        Name of the layer or stem of the file.
    kind : {"image", "labels"}
        Kind of layer.
    like : str or None
        The input whose grid it lies on: the trailing axes are that input's, further
        leading axes are named by `leading_axes`. None: the result has its own grid.
    leading_axes : tuple of str
        Names of axes that the input does not have, as ``("scale", "orientation")``.
    scale, units : tuple
        Voxel size where `like` is None; empty for a picture that has none.
    rgb : bool
        Whether the last axis is colour.
    summary : dict
        JSON-ready findings for the provenance record and the form.
    settled : dict
        Parameters that the user left open and the job settled by measuring, so that the
        record repeats the run to the bit.
    display : dict
        Hints for the viewer, as ``{"colormap": "viridis"}``.
    """

    data: Any
    name: str
    kind: Literal["image", "labels"] = "image"
    like: str | None = "image"
    leading_axes: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    rgb: bool = False
    summary: Mapping[str, Any] = field(default_factory=dict)
    settled: Mapping[str, Any] = field(default_factory=dict)
    display: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a run will do, for the user to read before it starts.

    Attributes
    ----------
    text : str
        Axes, sizes, device in a sentence or two.
    memory : float
        Bytes that it takes at its peak, as estimated.
    """

    text: str
    memory: float


@dataclass(frozen=True)
class Operation:
    """A job with everything that a form or a command line needs to offer it.

    Attributes
    ----------
    name : str
        On the command line and in recipes.
    title : str
        In the viewer.
    summary : str
        One sentence.
    parameters : type
        A frozen dataclass that extends `Parameters`.
    inputs : tuple of Input
        The arrays it needs.
    job : callable
        ``job(inputs, parameters)`` with a mapping of input name to `SpatialImage`
        returns the generator, whose result is a list of `Result`.
    plan : callable, optional
        ``plan(inputs, parameters)`` returns a `Plan`, at once and without touching the data;
        it raises ValueError with the reason if the job cannot run.
    margin : callable, optional
        ``margin(inputs, parameters)`` returns how many samples beyond a part of the first
        input its result depends on, along the last axes, for a preview of that part. Without
        it, the size of the second input.
    """

    name: str
    title: str
    summary: str
    parameters: type[Parameters]
    inputs: tuple[Input, ...]
    job: Callable[[Mapping[str, SpatialImage], Any], Job[list[Result]]]
    plan: Callable[[Mapping[str, SpatialImage], Any], Plan] | None = None
    margin: Callable[[Mapping[str, SpatialImage], Any], tuple[int, ...]] | None = None
