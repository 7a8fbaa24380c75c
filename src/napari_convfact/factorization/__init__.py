"""Large kernels as chains of small ones: closed forms, searches and certificates."""
