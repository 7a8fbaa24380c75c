"""Make every picture of README and docs again: ``make pictures``.

The viewer's need a display; the Makefile starts a virtual one where there is none.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run the scripts beside this one; the exit status is the number of failures."""
    scripts = [path for path in sorted(HERE.glob("make_*.py")) if path.name != "make_pictures.py"]
    return sum(
        subprocess.run([sys.executable, path], check=False).returncode != 0 for path in scripts
    )


if __name__ == "__main__":
    sys.exit(main())
