"""Live tests: real servers in subprocesses, real sockets on loopback, real frameworks."""
