"""An ASGI application in the kind of WSGI file that hosts such as PythonAnywhere let one edit.

There it is ``/var/www/<name>_pythonanywhere_com_wsgi.py``, and the project is in the home directory.
"""

import sys

sys.path.insert(0, "/home/name/project")

from api import app as api

from bridge import to_wsgi

application = to_wsgi(api)
