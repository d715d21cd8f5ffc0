"""A SIMULATED Coinbase Advanced Trade: one portfolio behind keys, over the venue's REST wire format.

``portfolio`` keeps wallets, contracts and fills, ``wire`` spells them as the venue would, ``gate`` checks tokens,
``answers`` maps paths to answers bent by faults, ``server`` puts it all on a socket beside our own ``control`` API.
It shares no decoder and no token code with the adapter that reads it.
"""
