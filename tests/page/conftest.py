"""What several tests of the pages share: a test part of the emoji scenes."""

import pytest

import mixlearn as ml


@pytest.fixture(scope="session")
def designers():
    return ml.data.load("emoji").tests["designers"]
