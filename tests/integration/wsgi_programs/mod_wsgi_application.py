"""What mod_wsgi loads: it wants a file with an ``application``, and the file says where that is."""

from __future__ import annotations

import os

from tests.integration.wsgi_programs.loading import loaded

application = loaded(os.environ["BRIDGE_TEST_APP"])
