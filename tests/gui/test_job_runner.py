"""A job in a thread, whatever the viewer is busy with meanwhile."""

import inspect
import time

from napari_convfact.foundation.job import Step
from napari_convfact.gui.job_runner import JobRunner


def test_steps_do_not_pile_up_while_the_viewer_is_slow(make_napari_viewer, qtbot):
    make_napari_viewer()  # its activity panel shows each step, and lets events through for it
    runner = JobRunner()
    depths = []

    def draw_slowly(step):
        del step
        depths.append(sum(frame.function == "_on_step" for frame in inspect.stack(0)))
        time.sleep(0.1)

    def job():
        for done in range(20):
            time.sleep(0.06)
            yield Step(done, 20, "")

    runner.stepped.connect(draw_slowly)
    with qtbot.waitSignal(runner.finished, timeout=60_000):
        runner.start(job, "Count")
    assert len(depths) > 5
    assert max(depths) <= 2
