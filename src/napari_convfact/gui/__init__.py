"""The napari widgets. The only package that imports napari, magicgui or Qt."""
