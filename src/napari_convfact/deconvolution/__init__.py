"""Methods that undo a convolution."""
