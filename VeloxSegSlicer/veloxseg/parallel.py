"""Several things at a time on the processor, each in a thread of its own with its share of torch's threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Found = TypeVar("Found")


@contextmanager
def pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """`workers` threads that share torch's threads; meanwhile the caller's operations have one. What has not begun at the end
    is dropped."""
    threads = torch.get_num_threads()
    executor = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(max(threads // workers, 1),))
    torch.set_num_threads(1)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
        # setting it in any thread is the default of all that begin later
        torch.set_num_threads(threads)


def each(function: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """function(item) of all items, in their order. An error is that of the first item that has one."""
    items = list(items)
    workers = min(torch.get_num_threads(), len(items))
    if workers < 2:
        return [function(item) for item in items]
    with pool(workers) as executor:
        return list(executor.map(function, items))
