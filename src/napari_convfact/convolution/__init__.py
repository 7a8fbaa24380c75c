"""A convolution kernel as a linear operator: boundaries, adjoint, circulant structure."""
