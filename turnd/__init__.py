"""turnd: a self-hosted video conference in one process; this package is its roof."""

__version__ = "0.1.0"
