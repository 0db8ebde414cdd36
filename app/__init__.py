"""Accounts, rotating tokens and private task lists, as one REST API."""

__version__ = "1.1.0"
