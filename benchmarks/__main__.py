"""Run the benchmarks one after the other and keep what they print in ``docs/benchmarks``.

``python -m benchmarks`` runs all, ``python -m benchmarks gabor texture`` those two. Arguments
that begin with a dash go to the scripts, as ``--quick``.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from napari_convfact.foundation.device import choose_device

SCRIPTS = (
    "deconvolution",
    "pseudo_inverse",
    "richardson_lucy",
    "factorization",
    "execution",
    "gabor",
    "texture",
    "large_data",
    "seams",
)
HERE = Path(__file__).parent
REPORTS = HERE.parent / "docs" / "benchmarks"


def heading(name: str, options: list[str]) -> str:
    """Say what was run, and on what."""
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("numpy", "scipy", "torch"))
    command = " ".join(["python -m benchmarks", name, *map(_without_place, options)])
    return (
        f"# {name.replace('_', ' ').capitalize()}\n\n"
        f"Written by `{command}` on Python {platform.python_version()}, {versions}. "
        f"{choose_device().reason}\n\n"
    )


def _without_place(option: str) -> str:
    """Keep the last name of a folder: where it was on this machine says nothing to others."""
    flag, equals, value = option.partition("=")
    return f"{flag}{equals}{Path(value).name}" if Path(value).is_absolute() else option


def run(name: str, options: list[str]) -> bool:
    """Run a script, show what it prints and keep it if it succeeds."""
    print(f"== {name}", flush=True)
    done = subprocess.run(
        [sys.executable, str(HERE / f"{name}.py"), *options],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    print(done.stdout, flush=True)
    if done.returncode == 0:
        REPORTS.mkdir(exist_ok=True)
        text = heading(name, options) + done.stdout.strip() + "\n"
        (REPORTS / f"{name}.md").write_text(text, encoding="utf-8")
    return done.returncode == 0


def main() -> int:
    """Run what was asked for; the exit status is the number of failures."""
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    names = [word for word in sys.argv[1:] if not word.startswith("-")] or list(SCRIPTS)
    return sum(not run(name, options) for name in names)


if __name__ == "__main__":
    sys.exit(main())
