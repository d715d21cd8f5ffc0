"""Carries out the policies of the desk after a cycle, by the same way as a person would: ResolveDrift.

Each correction looks at book and venue again, names the revisions it was decided on and stands in the history under
the policy's name. What somebody has taken on, or silenced, is theirs. What cannot be done stays open and says why; it
is tried again after the next cycle.
"""

from __future__ import annotations

from dataclasses import replace

import grpc
import structlog
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from grpckit.errors import RpcError, from_rpc
from reconciler_service import convert
from reconciler_service.cycle import Result
from reconciler_service.findings import Key
from reconciler_service.policies import Policy, unmet
from reconciler_service.resolver import Resolver
from reconciler_service.runner import Runner
from reconciler_service.wording import plain

MOST = 20  # corrections after one cycle: each reads its venue again, as far as its budget allows

_log = structlog.get_logger("reconciler")


class Enforcer:
    """Acts on what a cycle found due. Never raises: a policy that fails must not fail the cycle."""

    def __init__(self, resolver: Resolver, runner: Runner) -> None:
        self._resolver = resolver
        self._runner = runner

    async def act(self, result: Result) -> Result:
        """The result with the cases as they are after it."""
        after: dict[str, drift_pb2.Drift] = {}
        revision = result.revision
        for drift in result.drifts:
            key = convert.key(drift)
            policy = result.due.get(key) if key else None
            if policy is None or key is None or drift.status != drift_pb2.DRIFT_STATUS_CONFIRMED:
                continue
            desk = self._runner.desk(drift.venue, drift.account)
            if len(after) == MOST or not desk.pace.may_correct(desk.venue.budget_left):
                _log.warning("policies: the rest waits for the next cycle", due=len(result.due), done=len(after))
                break
            after[drift.drift_id], at = await self._try(drift, key, policy, desk.notes)
            revision = max(revision, at)
        drifts = tuple(after.get(drift.drift_id, drift) for drift in result.drifts)
        return replace(result, drifts=drifts, revision=revision)

    async def _try(
        self, drift: drift_pb2.Drift, key: Key, policy: Policy, notes: dict[Key, str]
    ) -> tuple[drift_pb2.Drift, int]:
        assert policy.action is not None
        kind = drift_pb2.DriftKind.Name(drift.kind).removeprefix("DRIFT_KIND_")
        action = policy.action.value
        asked = pb.ResolveDriftRequest(
            drift_id=drift.drift_id,
            action=f"RESOLVE_ACTION_{action}",
            expected_revision=drift.revision,
            reason=f"policy: {action} for {kind} up to {plain(policy.max_usd)} USD",
        )
        try:
            answer = await self._resolver.resolve(asked, actor=f"policy:{kind}", max_usd=policy.max_usd)
        except (RpcError, grpc.aio.AioRpcError) as error:
            known = error if isinstance(error, RpcError) else from_rpc(error)
            _log.warning("policy not carried out", drift=drift.drift_id, reason=known.reason, error=known.message)
            if known.reason == "STALE_REVISION":
                return drift, 0  # book, venue or case moved on: the next cycle sees how
            why = known.message
        except Exception:  # noqa: BLE001 - one defect must not stop the cycles
            _log.exception("policy not carried out", drift=drift.drift_id)
            why = "internal error, see the log"
        else:
            _log.info("policy carried out", drift=drift.drift_id, action=action, summary=drift.summary)
            notes.pop(key, None)
            return answer.drift, answer.revision
        notes[key] = unmet(policy, why)
        noted = drift_pb2.Drift()
        noted.CopyFrom(drift)
        noted.note = notes[key]
        return noted, 0
