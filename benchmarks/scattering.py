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
    rows = [np.log(scattering(patch).mean(axis=(-1, -2)) + 1e-6) for patch in patches]
    np.save(sys.argv[2], np.stack(rows))


if __name__ == "__main__":
    main()
