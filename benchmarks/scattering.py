"""Mean scattering coefficients, computed in an environment of its own.

Kymatio 0.3 needs an older SciPy than ours. ``make .venv-kymatio/installed`` makes the environment;
`texture.py` calls this script with its Python: ``scattering.py patches.npy features.npy``.
"""

from __future__ import annotations

import sys

import numpy as np
from kymatio.numpy import Scattering2D

SCALES, ORIENTATIONS = 3, 8


def main() -> None:
    patches = np.load(sys.argv[1])
    scattering = Scattering2D(SCALES, patches.shape[1:], ORIENTATIONS)
    means = np.stack([scattering(patch).mean(axis=(-1, -2)) for patch in patches])
    # The mean of a patch, the coefficient of order 0, has either sign.
    np.save(sys.argv[2], np.log(np.abs(means) + 1e-6))


if __name__ == "__main__":
    main()
