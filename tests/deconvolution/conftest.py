"""Make the benchmarks' scenes importable: tests and benchmarks look at the same ones."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
