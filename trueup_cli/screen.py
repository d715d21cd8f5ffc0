"""What a person sees: the banner, and drifts in words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from trueup.types.v1 import drift_pb2 as pb

_SEVERITY = {
    pb.DRIFT_SEVERITY_CRITICAL: "[bold white on red] CRITICAL [/]",
    pb.DRIFT_SEVERITY_WARNING: "[bold black on yellow] WARNING [/]",
    pb.DRIFT_SEVERITY_INFO: "[bold black on cyan] INFO [/]",
}
_HAPPENED = {
    pb.DRIFT_EVENT_TYPE_CONFIRMED: "[bold red]DRIFT[/]",
    pb.DRIFT_EVENT_TYPE_CHANGED: "[bold red]DRIFT changed[/]",
    pb.DRIFT_EVENT_TYPE_ACKNOWLEDGED: "drift acknowledged",
    pb.DRIFT_EVENT_TYPE_SNOOZED: "drift snoozed",
    pb.DRIFT_EVENT_TYPE_REOPENED: "[bold red]DRIFT is back[/]",
    pb.DRIFT_EVENT_TYPE_RESOLVED: "[bold green]drift resolved[/]",
}


def told(event: pb.DriftEvent) -> str:
    """The case in a line. Of one that has ended that is past: how it ended comes first."""
    drift = event.drift
    if event.type != pb.DRIFT_EVENT_TYPE_RESOLVED:
        return drift.summary
    how = (drift.resolution or "resolved").lower().replace("_", " ")
    return f"{drift.symbol or drift.venue}: {how}. It was: {drift.summary}"


class Screen:
    """Prints for people; nothing here decides anything."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def banner(self, commands: Iterable[str], *, simulated: bool, venue: str) -> None:
        """Say what runs, that it is SIMULATED if it is, and the commands to paste into another terminal."""
        if simulated:
            title, style = "SIMULATED: no real exchange, no real money", "bold yellow"
        else:
            title, style = f"LIVE, read-only: {venue}", "bold green"
        self.console.print(Panel(f"[{style}]{escape(title)}[/]", title="trueup", expand=False))
        self.console.print("In another terminal:")
        for line in commands:
            # Not wrapped, not indented: it is there to be copied.
            self.console.print(line, style="cyan", soft_wrap=True, markup=False)
        self.console.print()

    def say(self, text: str) -> None:
        """A line with the time."""
        self.console.print(f"[dim]{datetime.now(UTC):%H:%M:%S}[/] {escape(text)}", soft_wrap=True)

    def at_venue(self, caption: str) -> None:
        """Something happens at the simulated venue."""
        self.console.print(
            f"[dim]{datetime.now(UTC):%H:%M:%S}[/] [yellow]at the venue:[/] {escape(caption)}", soft_wrap=True
        )

    def drift(self, event: pb.DriftEvent) -> None:
        """A drift event: what, how bad, why, and what would mend it."""
        drift = event.drift
        source = "SIMULATED " if drift.source == 1 else ""
        severity = _SEVERITY.get(drift.severity, "") if event.type != pb.DRIFT_EVENT_TYPE_RESOLVED else ""
        at = event.time.ToDatetime(UTC)
        self.console.print(
            f"[dim]{at:%H:%M:%S}[/] {_HAPPENED.get(event.type, '')} {severity} "
            f"[dim]{source}rev {event.revision}[/] {escape(told(event))}",
            soft_wrap=True,
        )
        if event.type == pb.DRIFT_EVENT_TYPE_RESOLVED:
            return
        explanation = drift.explanation
        if explanation.text and explanation.text not in drift.summary:
            self._detail("why", explanation.text)
        for evidence in explanation.evidence[:5]:
            self._detail(evidence.kind, f"{evidence.text} ({evidence.id})" if evidence.id else evidence.text)
        if explanation.correction:
            changes = ", ".join(f"{c.field} {c.before or '-'} -> {c.after or '-'}" for c in explanation.correction)
            self._detail("would mend it", changes + (" (estimated)" if explanation.estimated else ""))

    def _detail(self, name: str, text: str) -> None:
        self.console.print(f"         [dim]{escape(name)}:[/] {escape(text)}", soft_wrap=True)
