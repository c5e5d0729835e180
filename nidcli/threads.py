"""Work that gains nothing from threads inside, one piece a thread instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], device: torch.device) -> list[Result]:
    """work(item) of all, in their order, without gradients.

    On the processor every piece has one thread: small factorisations take ten times as long with two of MKL's. Other
    devices queue what they are asked by themselves.
    """

    def alone(item: Item) -> Result:
        with torch.no_grad():  # which every thread has to be told
            return work(item)

    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return [alone(item) for item in items]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(alone, items))
    finally:
        torch.set_num_threads(threads)
