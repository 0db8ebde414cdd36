"""Passkeys: keys on people's devices that sign them in without a name or a password, and prove who asks."""
