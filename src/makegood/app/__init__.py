"""Configuration and wiring: the only room that knows all the others below it.

`keys` says what can be configured, `config` reads it, `wiring` builds from it, `reading` looks at a database
that no engine of ours holds, `deciding` puts a request before an execution from outside.
"""
