"""Accounts: signing up and in, changing and leaving."""
