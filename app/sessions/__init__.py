"""Sessions: refreshing, signing out, and the list of them."""
