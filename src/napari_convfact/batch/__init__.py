"""Volumes larger than memory: tiles, runs that can be resumed, clusters."""
