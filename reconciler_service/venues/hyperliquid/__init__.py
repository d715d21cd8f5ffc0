"""Hyperliquid: perpetuals of the main dex and of every builder-deployed (HIP-3) dex, read over ``POST /info``."""
