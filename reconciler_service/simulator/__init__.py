"""SIMULATED venues: real HTTP servers that speak an exchange's public, read-only wire format.

``exchange`` keeps the venue (accounts, positions, fills) with exact accounting, ``wire`` spells it as the venue
would, ``faults`` makes it misbehave on request, ``server`` puts it on a socket. Nothing here ever reaches a real
exchange, and what is changed is changed through our own control API, never through a venue's order endpoints.
"""
