"""Sample data: two small real volumes, and scenes and kernels made by formula."""

from napari_convfact.samples.data import SAMPLES, load_sample

__all__ = ["SAMPLES", "load_sample"]
