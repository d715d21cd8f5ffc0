"""Coinbase Advanced Trade, read-only: spot balances and US futures (CFM). The retired INTX paths are never called."""
