"""How a kernel is applied to an image: the fused pass, FFT, and the measured choice."""
