"""The manifest is where napari looks, valid, and says what is there."""

from pathlib import Path

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "src" / "napari_convfact" / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(MANIFEST)


def test_the_copy_at_the_root_is_equal():
    assert (ROOT / "napari.yaml").read_bytes() == MANIFEST.read_bytes()


def test_it_is_found_through_the_entry_point():
    found = PluginManifest.from_distribution("napari-convfact")
    assert found.display_name == "Convolution kernels"


def test_every_command_can_be_imported(manifest):
    manifest.validate_imports()


def test_every_widget_is_in_the_submenu(manifest):
    widgets = {widget.command for widget in manifest.contributions.widgets}
    items = {item.command for item in manifest.contributions.menus["convfact_submenu"]}
    assert widgets == items
    (submenu,) = manifest.contributions.menus["napari/layers/filter"]
    assert submenu.submenu == "convfact_submenu"


def test_version_agrees_with_the_package():
    from importlib.metadata import version

    import napari_convfact

    assert version("napari-convfact") == napari_convfact.__version__
