"""Silence that threads may ask for."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from smir.terminal import quiet


def texts(caught):
    return [str(warning.message) for warning in caught]


@pytest.fixture
def caught():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def test_threads_leave_the_filters_as_they_found_them(caught):
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first():
        with quiet():
            first_in.set()
            second_in.wait(0.5)  # the second thread comes in now, unless it waits for this one to leave
        first_out.set()

    def second():
        first_in.wait(5)
        with quiet():
            second_in.set()
            first_out.wait(5)

    with ThreadPoolExecutor(2) as pool:
        for thread in [pool.submit(first), pool.submit(second)]:
            thread.result()
    warnings.warn("heard", stacklevel=1)
    assert texts(caught) == ["heard"]


def test_other_kinds_are_heard(caught):
    with quiet(UserWarning):
        warnings.warn("unheard", UserWarning, stacklevel=1)
        warnings.warn("heard", RuntimeWarning, stacklevel=1)
    assert texts(caught) == ["heard"]
