"""Pure rules: job states, order, credits, graphs and errors. Standard library only, no clock, no I/O."""
