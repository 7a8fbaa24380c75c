"""The rules of the house that a reader must be able to rely on."""

import subprocess
import sys
from pathlib import Path

import pytest

import napari_convfact

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_convfact"
VIEWER = ("napari", "magicgui", "qtpy", "PyQt6", "PySide6", "superqt", "vispy")

# Bottom up: a package may import those before it and itself.
FLOORS = (
    ("foundation",),
    ("kernels", "execution"),
    ("convolution",),
    ("deconvolution", "factorization", "texture", "gabor"),
    ("operations",),
    ("storage",),
    ("samples",),
    ("batch",),
    ("commands", "gui"),
)


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_neither_torch_nor_the_viewer():
    loaded = loaded_after("import napari_convfact")
    assert not loaded & {"torch", "numba", "scipy", *VIEWER}


def test_the_command_line_starts_without_torch():
    loaded = loaded_after("import napari_convfact.cli as cli; cli._parser()")
    assert not loaded & {"torch", "numba", *VIEWER}


@pytest.mark.parametrize(
    "package", sorted(p.name for p in SOURCE.iterdir() if (p / "__init__.py").is_file())
)
def test_only_gui_imports_the_viewer(package):
    if package == "gui":
        pytest.skip("the viewer's own floor")
    modules = [
        ".".join(["napari_convfact", *path.relative_to(SOURCE).with_suffix("").parts])
        for path in (SOURCE / package).rglob("*.py")
        if path.stem != "__init__"
    ]
    loaded = loaded_after("\n".join(f"import {module}" for module in modules))
    assert not loaded & set(VIEWER)


def test_imports_point_down():
    floor = {package: level for level, packages in enumerate(FLOORS) for package in packages}
    wrong = []
    for path in SOURCE.rglob("*/*.py"):
        here = path.relative_to(SOURCE).parts[0]
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if line[:1] in (" ", "") or words[0] not in ("from", "import"):
                continue  # imports inside functions are late on purpose
            parts = words[1].split(".")
            if parts[0] == "napari_convfact" and len(parts) > 1 and parts[1] in floor:
                there = parts[1]
                if floor[there] > floor[here] or (floor[there] == floor[here] and there != here):
                    wrong.append(f"{path.relative_to(ROOT)}: {line}")
    assert not wrong


def test_every_public_name_can_be_imported():
    for name in napari_convfact.__all__:
        assert getattr(napari_convfact, name) is not None


def test_an_unknown_name_says_so():
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = napari_convfact.no_such_thing
