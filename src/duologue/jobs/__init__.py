"""What the command line does, as async functions: each opens a run, works, returns its result."""
