import pytest

from napari_convfact.foundation.job import Step, relay, run


def count(total, log):
    try:
        for done in range(total):
            yield Step(done, total)
        return total
    finally:
        log.append("closed")


def test_run_returns_the_result_and_reports_every_step():
    steps, log = [], []
    assert run(count(3, log), steps.append) == 3
    assert [step.done for step in steps] == [0, 1, 2]
    assert log == ["closed"]


def test_an_exception_in_the_listener_cancels_the_job():
    log = []

    def stop(step):
        if step.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(count(10, log), stop)
    assert log == ["closed"]


def test_an_exception_in_the_job_reaches_the_caller():
    def fail():
        yield Step(0, 1)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(fail())


def test_a_part_reports_in_the_whole_jobs_count():
    steps, log = [], []
    whole = relay(count(2, log), lambda step: Step(step.done + 10, 20))
    assert run(whole, steps.append) == 2
    assert [step.done for step in steps] == [10, 11]


def test_closing_the_whole_closes_the_part():
    log = []
    whole = relay(count(5, log), lambda step: step)
    next(whole)
    whole.close()
    assert log == ["closed"]
