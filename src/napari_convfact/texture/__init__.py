"""Autoregressive models of textures: fits, kernel banks, features, maps and classifiers."""
