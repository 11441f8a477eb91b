"""The dashboards of applications that know nothing of the shipped service."""

import pytest

from tests.support.somebodys import PATHS, assert_every_panel_is_filled, somebodys


@pytest.mark.parametrize("application", PATHS)
def test_every_panel_is_filled(application: str) -> None:
    with somebodys(application) as stack:
        assert_every_panel_is_filled(stack)
