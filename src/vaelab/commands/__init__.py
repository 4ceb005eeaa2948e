"""The command line: one module for each command, the parsing of flags, and messages on stderr."""
