"""API keys: pure rules, the table, and the keeper that answers for both.

key      what a key is, how it is made and recognised
store    the table
keeper   the keys in memory: whose is this one, which are valid
"""
