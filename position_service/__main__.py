"""``python -m position_service``: run the Position service."""

from __future__ import annotations

from grpckit.run import command
from position_service.app import main
from position_service.settings import PositionSettings

if __name__ == "__main__":
    command("python -m position_service", "Owns positions: life cycle, persistence, history.", PositionSettings, main)
