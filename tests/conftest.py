"""What all tests share: `nid` in this process, the folder of real data, and hypothesis without deadlines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from nidcli import cli

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY.parent / "shared" / "data"

slow_fixtures = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "nidcli", deadline=None, derandomize=True, max_examples=50, suppress_health_check=slow_fixtures
)
settings.load_profile("nidcli")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `data` are skipped where the data are not."""
    if not DATA.is_dir():
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason="no ../shared/data beside the repository"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; use it with `@pytest.mark.data`."""
    return DATA


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture
def nid(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `nid` in this process: exit status, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nid", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors are computed faster in one thread, and much faster where other work shares the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
