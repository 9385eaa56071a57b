"""Figures in ratios within one run; never asserted, because the machine is shared. Run by `make bench`."""
