"""Fixtures: the pair as a user starts it, and the pair as processes a test can kill."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.browser import Browser, installed
from tests.e2e.processes import Trio, Up, scratch


@pytest.fixture(scope="session")
def up() -> Iterator[Up]:
    """``trueup up`` as ``make run`` starts it, for every test that only looks at it or talks to it."""
    with scratch() as folder, Up(folder) as running:
        yield running


@pytest.fixture(scope="session")
def trio() -> Iterator[Trio]:
    """Venue, Position service and Reconciler as processes of their own. A test leaves all of them running."""
    with scratch() as folder:
        processes = Trio(folder)
        try:
            processes.begin()
            yield processes
        finally:
            processes.stop()


@pytest.fixture(scope="session")
def desk() -> Iterator[Trio]:
    """The same, reconciling only when it is told to, for the command line."""
    with scratch() as folder:
        processes = Trio(folder, RECONCILIATION_INTERVAL="3600")
        try:
            processes.begin()
            yield processes
        finally:
            processes.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Where it must not be missing, NEEDS_BROWSER says so."""
    if not installed() and not os.environ.get("NEEDS_BROWSER"):
        pytest.skip("no Chromium, the page is not tested: make tools, or apt-get install chromium")
    with scratch() as folder:
        running = Browser(folder)
        try:
            yield running
        finally:
            running.quit()
