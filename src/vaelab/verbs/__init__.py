"""Functions behind Python and the command line, evaluate, compare, explore and the like."""
