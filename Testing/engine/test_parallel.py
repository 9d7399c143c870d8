"""Things side by side in threads, and torch's threads given back."""

import threading

import pytest
import torch

from benchmarks import bench_speed
from veloxseg import parallel


def test_several_at_a_time_in_their_order():
    together = threading.Barrier(3, timeout=20)

    def wait_for_the_others(number):
        together.wait()
        return number * 10, torch.get_num_threads()

    with bench_speed.torch_threads(3):
        assert parallel.each(wait_for_the_others, range(3)) == [(0, 1), (10, 1), (20, 1)]
        assert torch.get_num_threads() == 3


def test_one_thread_needs_no_pool():
    with bench_speed.torch_threads(1):
        assert parallel.each(lambda _: threading.current_thread(), range(2)) == [threading.current_thread()] * 2


def test_first_error_counts_and_threads_come_back():
    def fail(number):
        if number:
            raise ValueError(number)

    with bench_speed.torch_threads(2):
        with pytest.raises(ValueError, match="1"):
            parallel.each(fail, range(4))
        assert torch.get_num_threads() == 2


def test_what_has_not_begun_is_dropped():
    begun, may_end = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert may_end.wait(20)

    with parallel.pool(1) as pool:
        first = pool.submit(work)
        second = pool.submit(work)
        assert begun.wait(20)
        threading.Timer(0.2, may_end.set).start()
    assert first.done() and second.cancelled()
