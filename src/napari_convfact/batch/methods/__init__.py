"""Which operations run on tiles, and how each of them does."""
