"""Between protobuf and keys."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import access_service_pb2 as svc
from trueup.types.v1 import rules_pb2

from grpckit.access import Grant
from position_service.convert import stamp, time_of
from position_service.domain.errors import InvalidValue
from position_service.keys.key import ALWAYS, Key, Terms


def terms(request: svc.CreateKeyRequest, now: datetime) -> Terms:
    """What a new key may do. Raises InvalidValue."""
    expires_at = time_of(request, "expires_at")
    if expires_at is not None and expires_at <= now:
        raise InvalidValue("expires_at", "must lie in the future")
    if bool(request.accounts) == request.every_account:
        raise InvalidValue("accounts", "names the accounts, or every_account is set: one of the two")
    accounts = None if request.every_account else frozenset(request.accounts)
    return Terms(request.name, frozenset(request.scopes), accounts, expires_at)


def api_key(key: Key) -> svc.ApiKey:
    """What may be known of a key."""
    terms = key.terms
    return svc.ApiKey(
        key_id=key.key_id,
        name=terms.name,
        scopes=sorted(terms.scopes),  # type: ignore[arg-type]
        accounts=sorted(terms.accounts or ()),
        every_account=terms.accounts is None,
        created_at=stamp(None if key.created_at == ALWAYS else key.created_at),
        created_by=key.created_by,
        expires_at=stamp(terms.expires_at),
        rotated_at=stamp(key.rotated_at),
        previous_until=stamp(key.previous_until),
        revoked_at=stamp(key.revoked_at),
        revoked_by=key.revoked_by,
        generation=key.generation,
    )


def granted(grant: Grant) -> svc.ApiKey:
    """What another service needs to know of a key that it was called with."""
    scopes = (
        frozenset(rules_pb2.Scope.values()) - {rules_pb2.SCOPE_UNSPECIFIED} if grant.scopes is None else grant.scopes
    )
    return svc.ApiKey(
        key_id=grant.key_id,
        name=grant.name,
        scopes=sorted(scopes),  # type: ignore[arg-type]
        accounts=sorted(grant.accounts or ()),
        every_account=grant.accounts is None,
        expires_at=_moment(grant.expires_at),
        previous_until=_moment(grant.previous_until),
        generation=grant.generation,
    )


def _moment(seconds: float) -> Timestamp | None:
    return stamp(datetime.fromtimestamp(seconds, UTC)) if 0 < seconds < float("inf") else None
