"""The names and defaults that users and scripts rely on."""

import inspect

import pytest

import napari_convfact as cf

REQUIRED = inspect.Parameter.empty

CONTRACT = {
    "Convolution": {
        "kernel": REQUIRED, "shape": REQUIRED, "boundary": "zero", "stride": 1, "dilation": 1,
        "origin": None, "engine": "auto", "tolerance": 0.0, "dtype": None, "device": "auto",
    },
    "deconvolve": {
        "image": REQUIRED, "psf": REQUIRED, "method": "tikhonov", "boundary": "extended",
        "prior": "gradient", "strength": "auto", "rcond": None, "iterations": "auto",
        "accelerate": True, "background": 0.0, "device": "auto",
    },
    "prepare_kernel": {
        "kernel": REQUIRED, "center": "peak", "normalize": True, "energy": 0.999,
        "voxel_size": None, "target_voxel_size": None,
    },
    "factorize": {
        "kernel": REQUIRED, "shapes": ((3, 3), (3, 3)), "dilations": None, "n_terms": 1,
        "zero_sum": False, "starts": 96, "seed": 0,
    },
    "plan_filtering": {"kernel": REQUIRED, "image_shape": REQUIRED, "relative_error": 0.01},
    "fit_autoregression": {
        "images": REQUIRED, "radius": 1, "dilations": (1,), "tie": "symmetric",
        "boundary": "periodic", "estimator": "least-squares", "mask": None,
    },
    "learn_bank": {"images": REQUIRED, "n_kernels": 16, "method": "em", "labels": None},
    "residual_features": {
        "images": REQUIRED, "bank": REQUIRED, "labels": None, "blocks": (4, 4),
    },
    "residual_maps": {"image": REQUIRED, "bank": REQUIRED, "sigma": 6.0, "kind": "log-energy"},
    "local_autoregression": {"image": REQUIRED},
    "classify_pixels": {"image": REQUIRED, "sparse_labels": REQUIRED},
    "gabor_bank": {
        "frequencies": None, "wavelengths": None, "highest": 0.354, "n_scales": 5,
        "octave_spacing": 1.0, "n_orientations": 8, "orientations": None, "bandwidth": 1.0,
        "dc_free": True, "ndim": 2,
    },
    "gabor_filter": {"image": REQUIRED, "bank": REQUIRED},
    "convolve": {"image": REQUIRED, "boundary": "reflect"},
}  # fmt: skip

MEMBERS = {
    "Convolution": ("forward", "adjoint", "dense", "pinv", "condition"),
    "GaborBank": ("kernels", "spectrum", "coverage"),
    "GaborResponses": (
        "energy", "phase", "orientation", "coherence", "orientation_rgb", "reconstruct",
    ),
    "KernelBank": ("mosaic", "save", "load", "from_checkpoint"),
    "TextureClassifier": ("fit", "predict", "predict_proba", "get_params", "set_params"),
    "Factorization": ("apply",),
}  # fmt: skip

FIELDS = {
    "Deconvolution": (
        "estimate", "strength", "rule", "iterations", "converged", "history", "message",
    ),
    "Factorization": (
        "terms", "factors", "reconstruction", "residual", "nmse", "relative_error", "status",
        "method", "macs", "macs_direct",
    ),
    "Autoregression": ("kernels", "variance", "r2", "moments"),
    "KernelBank": ("kernels", "names"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRACT)
def test_arguments_and_defaults(name):
    parameters = inspect.signature(getattr(cf, name)).parameters
    for argument, default in CONTRACT[name].items():
        assert argument in parameters
        assert parameters[argument].default == default, argument


@pytest.mark.parametrize("name", MEMBERS)
def test_members(name):
    for member in MEMBERS[name]:
        assert hasattr(getattr(cf, name), member), member


def test_an_operator_knows_its_shapes():
    operator = cf.Convolution([1, 2, 1], (8,), boundary="extended")
    assert operator.input_shape == (10,)
    assert operator.output_shape == (8,)


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name):
    kind = getattr(cf, name)
    known = set(getattr(kind, "__dataclass_fields__", ())) | set(dir(kind))
    assert set(FIELDS[name]) <= known


@pytest.mark.parametrize("name", [n for n in cf.__all__ if n != "__version__"])
def test_every_public_name_is_documented(name):
    text = inspect.getdoc(getattr(cf, name))
    assert text
    assert len(text.split("\n")[0]) > 15
