"""One module a change, named NNNN_what.py."""
