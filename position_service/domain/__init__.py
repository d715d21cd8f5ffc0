"""The domain: positions and drift cases as pure values and pure functions. No I/O, no protobuf, no clock.

numbers      exact decimals
position     Position, Mark, the enums
transitions  the one table of legal moves
algebra      what a trade does to a position
risk         what a mark says about a position
commands     what can be asked for
events       what can have happened
book         the state: Book.apply evolves it by an event, Draft is what a command would make of it
decide       decide(view, command, context) -> events, or a DomainError; the table of rules
lifecycle    the rules of a position's life
adjust       the rule of corrections
fills        the rule of executions, and of funding among them
restating    the fills that a correction anticipated at a guessed price
funding      whose a funding payment is
watching     the rules of marks, runs and drift cases
steps        what every rule needs
verdict      what reconciliation says of a position
naming       what a caller may leave out
drift        drift cases
errors       the typed refusals
"""
