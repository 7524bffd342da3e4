"""Programs that start WSGI servers without a command line of their own: ``python -m <program> <app> <host> <port>``."""
