"""The command line: one command a noun, the same over a running service and beside a stopped one."""
