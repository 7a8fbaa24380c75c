"""Torch's number of threads is lowered for a while and put back."""

from __future__ import annotations

from threading import Thread

import pytest
import torch

from napari_convfact.foundation.job import Step, run
from napari_convfact.foundation.threads import on_one_torch_thread, one_torch_thread


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_inside_and_three_again_outside():
    with one_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_an_error_puts_it_back_too():
    with pytest.raises(RuntimeError), one_torch_thread():
        raise RuntimeError
    assert torch.get_num_threads() == 3


def test_other_threads_keep_theirs():
    seen = []

    def work():
        torch.set_num_threads(2)
        with one_torch_thread():
            inner.start()
            inner.join()
        seen.append(torch.get_num_threads())

    inner = Thread(target=lambda: one_torch_thread().__enter__())
    outer = Thread(target=work)
    outer.start()
    outer.join()
    assert seen == [2]
    assert torch.get_num_threads() == 3


def count(seen):
    try:
        for done in range(3):
            seen.append(torch.get_num_threads())
            yield Step(done, 3)
        return "result"
    finally:
        seen.append("closed")


def test_a_job_has_one_thread_and_its_caller_three():
    inside, outside = [], []
    job = on_one_torch_thread(count(inside))
    assert run(job, lambda _: outside.append(torch.get_num_threads())) == "result"
    assert inside == [1, 1, 1, "closed"]
    assert outside == [3, 3, 3]


def test_closing_closes_the_job():
    inside = []
    job = on_one_torch_thread(count(inside))
    next(job)
    job.close()
    assert inside == [1, "closed"]
