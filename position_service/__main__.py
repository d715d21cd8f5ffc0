"""``python -m position_service``: run the Position service."""

from __future__ import annotations

import gc

gc.disable()  # what is imported stays: looking for garbage in it is a fifth of that time. The ledger turns it on again.

from grpckit.run import command  # noqa: E402
from position_service.app import main  # noqa: E402
from position_service.settings import PositionSettings  # noqa: E402

if __name__ == "__main__":
    command("python -m position_service", "Owns positions: life cycle, persistence, history.", PositionSettings, main)
