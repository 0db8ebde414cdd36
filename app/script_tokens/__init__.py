"""Tokens for scripts: sessions with scopes and an end, which an account's owner makes and ends."""
