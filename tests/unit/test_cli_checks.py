"""What `trueup doctor` concludes from a Reconciler's status."""

from __future__ import annotations

import pytest
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from trueup_cli.checks import Level, seen_by


def status(*, active: bool, reaches: bool = True) -> pb.GetStatusResponse:
    unread = drift_pb2.VenueHealth(venue="hyperliquid", account="main", state="STARTING")
    return pb.GetStatusResponse(active=active, position_service_ok=reaches, venues=[unread])


def test_one_that_stands_by_is_not_asked_for_venues_that_it_does_not_read():
    (finding,) = seen_by(status(active=False))
    assert finding.level is Level.OK
    assert "stands by" in finding.says
    assert finding.todo


@pytest.mark.parametrize(("active", "reaches"), [(True, True), (True, False), (False, False)])
def test_any_other_says_how_runs_and_venues_are(active: bool, reaches: bool):
    runs, venue = seen_by(status(active=active, reaches=reaches))
    assert (runs.what, venue.what) == ("reconciliation", "venue hyperliquid (main)")
    assert venue.says == "STARTING"
