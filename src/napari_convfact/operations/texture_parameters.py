"""Parameters of the texture operations: what the forms, the flags and recipes offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_convfact.operations.parameters import Field, Parameters
from napari_convfact.operations.shared_parameters import Device

_RESULTS = "Results"
_LEARNED = {"bank": ("auto", "learn")}
_MADE = {"bank": ("auto", "learn", "gabor")}
_POOLED = "Standard deviation of the window over which energies are averaged."


@dataclass(frozen=True)
class Texture(Parameters):
    """Parameters of texture features; see `napari_convfact.learn_bank` and `residual_maps`."""

    bank: Annotated[
        Literal["auto", "learn", "gabor", "layer", "file"],
        Field(
            "Bank",
            "Where the kernels come from. learn: from the image. gabor: a fixed Gabor bank. "
            "layer: the kernel layer. file: a saved bank. auto: the layer if one is chosen, "
            "otherwise learn.",
        ),
    ] = "auto"
    file: Annotated[
        str,
        Field("Bank file", "A bank that was saved before (.npz).", when={"bank": ("file",)}),
    ] = ""
    n_kernels: Annotated[
        int,
        Field(
            "Number of kernels",
            "For each dilation.",
            minimum=1,
            maximum=256,
            when=_MADE,
        ),
    ] = 16
    method: Annotated[
        Literal["em", "kmeans", "greedy", "pca"],
        Field(
            "Method",
            "em: a mixture of models, each fitted to the patches that it predicts best. kmeans: "
            "centres of the patches' own kernels. greedy: those of them that explain the most. "
            "pca: their mean and principal components.",
            advanced=True,
            when=_LEARNED,
        ),
    ] = "em"
    radius: Annotated[
        int,
        Field(
            "Radius",
            "Neighbours to each side from which a pixel is predicted.",
            minimum=1,
            maximum=9,
            unit="pixels",
            when=_MADE,
        ),
    ] = 2
    dilations: Annotated[
        str,
        Field(
            "Dilations",
            "Distances between neighbours, as '1 2 4': a bank for each.",
            when=_MADE,
        ),
    ] = "1"
    tie: Annotated[
        Literal["symmetric", "full", "ring", "causal"],
        Field(
            "Weights",
            "symmetric: equal for opposite neighbours. full: all free. ring: equal at equal "
            "distance, so that rotation does not matter. causal: only pixels before.",
            advanced=True,
            when=_MADE,
        ),
    ] = "symmetric"
    ndim: Annotated[
        int,
        Field(
            "Dimensions",
            "Textures of planes (2) or volumes (3); further axes are independent images.",
            minimum=2,
            maximum=3,
        ),
    ] = 2
    sigma: Annotated[
        float,
        Field("Window", _POOLED, minimum=0.0, maximum=200.0, step=1.0, unit="pixels"),
    ] = 6.0
    log_energy: Annotated[
        bool,
        Field(
            "Log energies", "Averaged squared residual of each kernel, as a stack.", group=_RESULTS
        ),
    ] = True
    assignment: Annotated[
        bool, Field("Best kernel", "Which kernel predicts best, as labels from 1.", group=_RESULTS)
    ] = True
    novelty: Annotated[
        bool,
        Field(
            "Novelty",
            "How much the best kernel leaves of the local variance: 0 where it fails.",
            group=_RESULTS,
        ),
    ] = True
    predictability: Annotated[
        bool,
        Field(
            "Predictability",
            "Explained variance of a model of each pixel's surroundings.",
            group=_RESULTS,
        ),
    ] = False
    residual: Annotated[
        bool,
        Field(
            "Residuals",
            "The image minus its prediction by each kernel, as a stack.",
            group=_RESULTS,
        ),
    ] = False
    mosaic: Annotated[
        bool, Field("Mosaic", "All kernels in one picture, the best first.", group=_RESULTS)
    ] = True
    kernel_stack: Annotated[
        bool, Field("Bank layer", "The bank as a kernel layer, to use again.", group=_RESULTS)
    ] = True
    table: Annotated[
        bool,
        Field(
            "Feature table", "A row of features for each image, or for each label.", group=_RESULTS
        ),
    ] = True
    table_file: Annotated[
        str,
        Field(
            "Table file",
            "Where to write the table (.csv); empty: nowhere.",
            advanced=True,
            writes=".csv",
        ),
    ] = ""
    bank_file: Annotated[
        str,
        Field(
            "Save bank",
            "Where to write the bank (.npz); empty: nowhere.",
            advanced=True,
            writes=".npz",
        ),
    ] = ""
    device: Device = "auto"


@dataclass(frozen=True)
class ClassifyPixels(Parameters):
    """Parameters of a pixel classification; see `napari_convfact.classify_pixels`."""

    local: Annotated[
        bool,
        Field(
            "Local models",
            "An autoregressive model of each pixel's surroundings.",
            group="Features",
        ),
    ] = True
    gabor: Annotated[
        bool, Field("Gabor", "Energies of waves by scale and orientation.", group="Features")
    ] = True
    residual: Annotated[
        bool,
        Field(
            "Residuals",
            "Residual energies of a kernel bank that is learned or loaded.",
            group="Features",
        ),
    ] = False
    intensity: Annotated[bool, Field("Intensity", "Local mean and variance.", group="Features")] = (
        False
    )
    file: Annotated[
        str,
        Field(
            "Bank file",
            "A saved bank (.npz) for the residuals; empty: learned from the image.",
            advanced=True,
            when={"residual": (True,)},
        ),
    ] = ""
    sigma: Annotated[
        float,
        Field(
            "Window",
            "Standard deviation of the window that features are averaged over: smaller follows "
            "edges better, larger knows coarse textures better.",
            minimum=0.5,
            maximum=200.0,
            step=1.0,
            unit="pixels",
        ),
    ] = 6.0
    ndim: Annotated[
        int,
        Field(
            "Dimensions",
            "Textures of planes (2) or volumes (3); further axes are independent images.",
            minimum=2,
            maximum=3,
        ),
    ] = 2
    n_trees: Annotated[
        int, Field("Trees", "Size of the forest.", minimum=1, maximum=2000, advanced=True)
    ] = 100
    probabilities: Annotated[
        bool, Field("Probabilities", "Also return the probability of each class.")
    ] = False
    model: Annotated[
        str,
        Field(
            "Classifier",
            "A classifier that was saved (.npz): it is applied with its own features and window, "
            "and no paint is needed. Empty: learned from the paint.",
            advanced=True,
        ),
    ] = ""
    model_file: Annotated[
        str,
        Field(
            "Save classifier",
            "Where to write the classifier (.npz); empty: nowhere.",
            advanced=True,
            writes=".npz",
        ),
    ] = ""
    seed: Annotated[
        int, Field("Seed", "Of the forest.", minimum=0, maximum=2**31, advanced=True)
    ] = 0
    device: Device = "auto"
