"""Images in files: TIFF with voxel sizes, and NumPy arrays."""

from napari_convfact.storage.formats import read_image, write_image

__all__ = ["read_image", "write_image"]
