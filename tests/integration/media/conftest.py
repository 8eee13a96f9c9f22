"""What several of these tests need."""

import pytest

from tests.integration.media.processes import children


@pytest.fixture
def no_child_left() -> object:
    """After the test there are the children that were there before it."""
    before = children()
    yield
    assert children() <= before
