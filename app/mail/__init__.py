"""Mail: a forgotten password, a proven address, a new address, and notices."""
