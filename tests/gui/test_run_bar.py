"""What stays in sight below a form."""

import numpy as np
from tests.gui.helpers import gaussian_psf, open_widget


def test_the_plan_is_whole_where_docks_are_squeezed(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1000, 700)
    viewer.add_image(np.random.default_rng(0).random((4, 48, 56), dtype=np.float32), name="cells")
    viewer.add_image(gaussian_psf(), name="PSF")
    widgets = [open_widget(viewer, name) for name in ("Deconvolve", "Gabor bank", "Convolve")]
    for widget in widgets:
        plan = widget.bar.plan
        assert len(plan.text()) > 80  # it needs several lines
        qtbot.waitUntil(
            lambda plan=plan: plan.height() >= plan.heightForWidth(plan.width()), timeout=10_000
        )
