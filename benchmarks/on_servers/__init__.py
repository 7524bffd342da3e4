"""Questions that are asked of real servers in subprocesses, on loopback."""
