"""The public keys, by which other services verify access tokens."""
