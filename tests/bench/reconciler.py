"""A Reconciler with many desks at one simulated venue: python -m tests.bench.reconciler POSITION_ADDRESS VENUE DESKS

Everything is as in production but for the desks, of which the settings can name one.
"""

from __future__ import annotations

import asyncio
import sys

from grpckit import log as logs
from reconciler_service.app import ReconcilerApp
from reconciler_service.model import Source
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.http import HttpSettings, Retries, Timeouts
from reconciler_service.venues.hyperliquid.adapter import Hyperliquid, Settings
from tests.bench.machine import listening
from tests.bench.venue import UNLIMITED, address

PATIENCE_S = 600.0


def account(desk: int) -> str:
    return f"desk-{desk}"


async def main(position: str, venue: str, desks: int) -> None:
    settings = ReconcilerSettings(
        reconciler_listen="127.0.0.1:0",
        position_address=position,
        reconciliation_interval=86_400,
        venue_timeout=PATIENCE_S,
        state_max_age=PATIENCE_S,
        venues="simulated",
    )
    logs.configure(settings.log_level, settings.log_format)
    # All desks ask one simulated venue at once, so the last of them waits for all the others.
    patient = Timeouts(total_s=PATIENCE_S, connect_s=PATIENCE_S, handshake_s=PATIENCE_S, read_s=PATIENCE_S)
    how = Settings(http=HttpSettings(timeouts=patient, retries=Retries(deadline_s=PATIENCE_S)))
    budget, url, source = WeightBudget(UNLIMITED), f"http://{venue}", Source.SIMULATED
    adapters = [
        Hyperliquid(address(n), source=source, account=account(n), base_url=url, settings=how, budget=budget)
        for n in range(desks)
    ]
    app = ReconcilerApp(settings, adapters)
    listening(await app.start())
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
