"""The kinds of resources. Pure: no I/O, no clock."""
