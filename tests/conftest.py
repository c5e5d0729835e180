"""What all tests share: the folder of real data, and hypothesis without deadlines, since a busy machine is slow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
