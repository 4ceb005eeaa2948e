"""Functions behind Python and the command line: evaluate, compare, doctor, sweep, understand."""
