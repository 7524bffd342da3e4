"""The command line ``bridge``: arguments in, sentences, tables and exit codes out.

Needs the extra ``cli`` (click; with rich the output has colours). What the commands do is in `bridge.serve` and
`bridge.doctor`; nothing else imports this package.
"""
