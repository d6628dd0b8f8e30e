"""Base: what every room uses and none of them owns: checks of arguments, precision, statuses, cards, references, programs.

Imports no other room.
"""
