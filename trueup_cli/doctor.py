"""`trueup doctor`: everything looked at once, with what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import typer
from rich.text import Text

from grpckit import log as logs
from grpckit.errors import StartupError
from position_service.settings import PositionSettings
from reconciler_service.settings import ReconcilerSettings
from trueup_cli import checks, checks_access
from trueup_cli.checks import Finding, Level
from trueup_cli.checks_database import database
from trueup_cli.checks_services import POSITION, RECONCILER, service
from trueup_cli.failures import REFUSED
from trueup_cli.session import Session, talks
from trueup_cli.words import word

app = typer.Typer(rich_markup_mode="markdown")


@app.command()
@talks
async def doctor(session: Session) -> int | None:
    """Check settings, services, database, venues and clocks; each line says OK, WARNING or PROBLEM, and what to do.

    Nothing is started or changed. Exit code 1 when there is a PROBLEM.

    Example: trueup doctor
    """
    logs.configure("ERROR")
    problems = 0
    async for finding in _findings(session):
        problems += finding.level is Level.PROBLEM
        if session.out.is_json:
            told: dict[str, object] = {"level": finding.level.value, "check": finding.what}
            session.out.json(told | {"says": finding.says, "todo": finding.todo})
        else:
            line = Text.assemble(word(f"{finding.level.value:<7}"), f"  {finding.what}: {finding.says}")
            line.stylize(word(finding.level.value).style, 0, 7)
            session.out.say(line)
            if finding.todo:
                session.out.say(f"         {finding.todo}")
    return REFUSED if problems else None


async def _findings(session: Session) -> AsyncIterator[Finding]:
    try:
        position, reconciler = PositionSettings.load(), ReconcilerSettings.load()
    except StartupError as error:
        yield Finding(Level.PROBLEM, "settings", str(error), "nothing starts before that is mended")
        return
    yield Finding(Level.OK, "settings", "can be read")
    for finding in checks_access.settings(position, "Position service", position.position_listen):
        yield finding
    for finding in checks_access.settings(reconciler, "Reconciler", reconciler.reconciler_listen):
        yield finding
    credentials = session.credentials
    book = await service(POSITION, session.position_address, position.position_listen, credentials)
    yield book
    if book.level is Level.OK:
        async for finding in checks_access.keys(session.client, has_key=session.has_key):
            yield finding
    async for finding in database(position, serving=book.level is Level.OK):
        yield finding
    listen = reconciler.reconciler_listen
    other = await service(RECONCILER, session.reconciler_address, listen, credentials)
    yield other
    looked = checks.reconciler(session.client) if other.answers else checks.venues(reconciler)
    async for finding in looked:
        yield finding
