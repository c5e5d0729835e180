"""Observations of clouds, made ahead of time by processes of their own. Each depends on the seed and its step alone."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from nidcli.errors import NidError
from nidcli.model import Model, ModelSpec
from nidcli.sdf.observing import observed
from nidcli.sdf.solids import Solid

PIECES = 8  # of a cloud


class Observatory:
    """Makes the observations of the steps that ask for new ones, ahead of time; a context."""

    def __init__(
        self,
        model: Model,
        solid: Callable[[int], Solid],
        count: int,
        steps: Iterator[int],
        seed: int,
        workers: int,
    ) -> None:
        """solid(number) : whose cloud; count : pieces a step; steps : those that will be asked for, in their order."""
        self.solid, self.seed, self.workers = solid, seed, workers
        self.clouds = [PIECES] * (count // PIECES) + [count % PIECES] * (count % PIECES > 0)  # of a step
        self.ahead = ((step, place) for step in steps for place in range(len(self.clouds)))
        state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
        start = (model.spec, {name: tensor.numpy() for name, tensor in state.items()})
        context = multiprocessing.get_context("spawn")
        self.others = multiprocessing.active_children()
        self.pool = ProcessPoolExecutor(workers, context, _start, start)
        self.waiting = dict[tuple[int, int], Future[tuple[np.ndarray, np.ndarray]]]()

    def __enter__(self) -> Observatory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in self.others:  # what it is at is asked for by nobody
                process.terminate()

    def pairs(self, step: int) -> tuple[Tensor, Tensor]:
        """Those of a step; steps are asked for in their order. Raises NidError where a process died."""
        several = len(self.clouds)
        for ahead in itertools.islice(self.ahead, max(0, 2 * self.workers + several - len(self.waiting))):
            number, chance = ahead[0] * several + ahead[1], (self.seed, 3, *ahead)
            work = (self.solid(number), chance, self.clouds[ahead[1]])
            self.waiting[ahead] = self.pool.submit(_work, *work)
        try:
            found = [self.waiting.pop((step, place)).result() for place in range(several)]
        except BrokenProcessPool:
            raise NidError(
                "A process that makes clouds was ended from outside, for want of memory perhaps; go on with --resume."
            ) from None
        seen, truth = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return torch.from_numpy(seen).float(), torch.from_numpy(truth).float()


_model: Model | None = None


def _start(spec: ModelSpec, state: dict[str, np.ndarray]) -> None:
    """In a process that makes clouds. Ctrl-C is for the one that asks for them."""
    global _model
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _model = Model(spec).eval().requires_grad_(False)
    _model.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})


def _work(solid: Solid, chance: tuple[int, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    assert _model is not None
    seen, truth = observed(_model, solid, np.random.default_rng(chance), count)
    return seen.numpy(), truth.numpy()


def workers_beside(device: str) -> int:
    """Processes that make clouds: all where another device learns, a quarter where the processor does."""
    cores = os.cpu_count() or 1
    return cores if device != "cpu" else max(1, cores // 4)
