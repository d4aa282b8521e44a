"""`makegood bench`: figures of this machine, each beside its ceiling, taken turn by turn in one run.

Strangers keep out: nothing here is used by the product, and nothing here is a test.
"""
