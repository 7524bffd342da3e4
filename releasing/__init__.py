"""What makes a release: version and changelog, wheel and sdist, and the test suite against the wheel.

`docs/development/releasing.md` says when to run which step. A step changes nothing but what it names, and stops at the
first thing that is wrong.
"""
