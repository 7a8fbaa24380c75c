import threading

import pytest
from threadpoolctl import threadpool_info

from napari_convfact.foundation.blas import one_blas_thread


def threads() -> set[int]:
    return {item["num_threads"] for item in threadpool_info() if item["user_api"] == "blas"}


def test_overlapping_blocks_restore_the_setting():
    before = threads()
    inside, first_left = threading.Event(), threading.Event()

    def second() -> None:
        with one_blas_thread():
            inside.set()
            first_left.wait(10)

    other = threading.Thread(target=second)
    with one_blas_thread():
        other.start()
        assert inside.wait(10)
        assert threads() == {1}
    first_left.set()
    other.join(10)
    assert threads() == before
    with one_blas_thread():
        assert threads() == {1}


def test_an_error_inside_restores_the_setting():
    before = threads()
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert threads() == before
