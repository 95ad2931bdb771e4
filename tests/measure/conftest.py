"""What several tests of the measures share: six emoji scenes."""

import pytest

import mixlearn as ml


@pytest.fixture(scope="session")
def images():
    return ml.data.load("emoji").test.images[::180][:6].float() / 255
