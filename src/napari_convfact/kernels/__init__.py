"""Kernels: shapes, point spread functions, and what prepares them for use."""
