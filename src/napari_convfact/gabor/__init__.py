"""Gabor banks: made, applied by their spectra, and inverted exactly."""
