"""Parameters of the convolution: what the form, the flags and recipes offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_convfact.operations.parameters import Field, Parameters
from napari_convfact.operations.shared_parameters import Device, Missing

#: Kernels that go by a name.
NAMED = ("gaussian", "box", "sobel", "laplacian")
_FILE = {"kind": ("file",)}


@dataclass(frozen=True)
class Convolve(Parameters):
    """Parameters of a convolution; see `napari_convfact.convolve`."""

    kind: Annotated[
        Literal["auto", "gaussian", "box", "sobel", "laplacian", "file"],
        Field(
            "Kind of kernel",
            "auto: the kernel layer if one is chosen, else a Gaussian. file: a kernel bank "
            "(.npz) or a network's weights (safetensors, PyTorch).",
        ),
    ] = "auto"
    sigma: Annotated[
        float,
        Field(
            "Sigma",
            "Standard deviation of the Gaussian.",
            minimum=0.05,
            maximum=1000.0,
            step=0.5,
            unit="pixels",
            when={"kind": ("auto", "gaussian")},
        ),
    ] = 2.0
    size: Annotated[
        int,
        Field(
            "Size",
            "Width of the box, odd.",
            minimum=1,
            maximum=9999,
            step=2,
            unit="pixels",
            when={"kind": ("box",)},
        ),
    ] = 3
    ndim: Annotated[
        int,
        Field(
            "Dimensions",
            "Number of spatial axes, the last ones; further axes are independent.",
            minimum=1,
            maximum=3,
            when={"kind": ("auto", *NAMED)},
        ),
    ] = 2
    stack: Annotated[
        bool,
        Field(
            "Stack of kernels",
            "The first axis of the kernel layer counts kernels: one result for each.",
            when={"kind": ("auto",)},
        ),
    ] = False
    file: Annotated[
        str,
        Field("File", "Path of a kernel bank or of a network's weights.", when=_FILE),
    ] = ""
    layer: Annotated[
        str,
        Field(
            "Network layer",
            "Name of a convolution layer in the file, as features.0; empty: the first.",
            when=_FILE,
        ),
    ] = ""
    channels: Annotated[
        str,
        Field(
            "Network channels",
            "all: match the image's colours, a grey image counts for each. mean, or the "
            "number of one: reduce the kernels to one channel.",
            suggestions=("all", "mean", "0", "1", "2"),
            when=_FILE,
        ),
    ] = "all"
    depth: Annotated[
        int,
        Field(
            "Network depth",
            "0: one layer's kernels. Otherwise the image goes through so many modules of a "
            "plain stack (convolution, ReLU, pooling): its feature maps.",
            minimum=0,
            maximum=200,
            when=_FILE,
        ),
    ] = 0
    scaling: Annotated[
        Literal["none", "unit", "imagenet"],
        Field(
            "Network input",
            "What the network expects: values as they are, from 0 to 1, or normalized as for "
            "ImageNet.",
            advanced=True,
            when=_FILE,
        ),
    ] = "none"
    result: Annotated[
        Literal["filtered", "difference", "sharpened", "magnitude"],
        Field(
            "Result",
            "filtered: image * kernel. difference: image minus that. sharpened: image plus "
            "amount times the difference (unsharp masking). magnitude: root of the sum of "
            "squares over the kernels.",
        ),
    ] = "filtered"
    amount: Annotated[
        float,
        Field(
            "Amount",
            "How much is sharpened.",
            minimum=-100.0,
            maximum=100.0,
            step=0.1,
            when={"result": ("sharpened",)},
        ),
    ] = 1.0
    normalize: Annotated[
        bool,
        Field(
            "Normalize",
            "Divide each kernel by its sum, so that brightness is kept.",
            when={"kind": ("auto", "file")},
        ),
    ] = False
    boundary: Annotated[
        Literal["reflect", "periodic", "zero"],
        Field(
            "Boundary",
            "What lies beyond the edges. reflect: a mirror image. periodic: the opposite edge. "
            "zero: nothing.",
        ),
    ] = "reflect"
    missing: Missing = "error"
    device: Device = "auto"
