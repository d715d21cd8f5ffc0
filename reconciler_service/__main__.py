"""``python -m reconciler_service``: run the Reconciler."""

from __future__ import annotations

from grpckit.run import command
from reconciler_service.app import main
from reconciler_service.settings import ReconcilerSettings

if __name__ == "__main__":
    command("python -m reconciler_service", "Finds where book and venues disagree.", ReconcilerSettings, main)
