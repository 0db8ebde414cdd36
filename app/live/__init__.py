"""Live: changes as they happen, none missed. With `LIVE_STREAMS=0` nothing of it is imported."""
