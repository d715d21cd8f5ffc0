"""Alembic migrations, run when the service starts. Expand first, contract a release later."""
