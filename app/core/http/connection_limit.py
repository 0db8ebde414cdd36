"""How many clients a process can have; apart from the rest, because the supervising process needs no more of HTTP."""

# Descriptors that are not for clients: the database's come on top. Some of them are for answering 503 to clients beyond
# the limit.
RESERVED_DESCRIPTORS = 64


def connection_limit(wanted: int, database_connections: int) -> int:
    """Return how many clients a process can have: as many as wanted, if it may open so many descriptors."""
    try:
        import resource
    except ImportError:  # Windows counts them otherwise
        return wanted
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, descriptors - database_connections - RESERVED_DESCRIPTORS))
