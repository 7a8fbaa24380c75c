"""A job in a thread, whatever the viewer is busy with meanwhile."""

import inspect
import subprocess
import sys
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


def test_a_script_that_ends_during_a_job_is_not_aborted():
    script = """
import os
os.environ["NAPARI_CONFIG"] = ""
from qtpy.QtWidgets import QApplication
application = QApplication([])
import time
from napari_convfact.foundation.job import Step
from napari_convfact.gui.job_runner import JobRunner

def job():
    for done in range(10**6):
        time.sleep(0.2)
        yield Step(done, 10**6)

runner = JobRunner()
runner.start(job, "sleeps", show=False)
"""
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"Error" not in ended.stderr
