"""Exact reductions: runs of small problems that are, number for number, runs of large ones."""
