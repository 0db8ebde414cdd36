"""Other shapes of the same API, for frontends that were written for them; switched on by API_CONTRACTS."""
