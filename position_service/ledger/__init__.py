"""The ledger: one batch, one statement, one round trip.

committer    takes writes, decides them in order, commits a batch at a time
batch        what a batch of writes would commit
statement    the one SQL statement and its parts
store        the connections: load, append, catch up, resolve
chain        canonical bytes and hashes
codec        domain values to rows and JSON, and back
ledger       puts them together; reads that are never stale
feed         what was committed, for watchers
history      reads of what is no longer, or never was, in memory
leases       one of several does the job
tables       the tables
"""
