"""Apache with mod_wsgi in the foreground, with a configuration of its own in the current directory.

One daemon process of four threads. The application is mounted a second time, and a third time in a sub-interpreter,
which is in a process of its own: up to CPython 3.11 asyncio keeps one set of tasks for all interpreters of a process.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from tests.integration.wsgi_programs.loading import MOUNT, address

SUB_INTERPRETER_MOUNT = "/sub"
_MODULES = Path("/usr/lib/apache2/modules")
_MODULE = _MODULES / "mod_wsgi.so"
_PROGRAM = "/usr/sbin/apache2"
_ROOT = Path(__file__).resolve().parents[3]
# Apache gives up root: then its processes are somebody else, who must be able to read what they run.
_USER = "www-data"
_CONFIGURATION = """
ServerRoot "{directory}"
ServerName {host}
Listen {host}:{port}
PidFile "{directory}/apache.pid"
ErrorLog "/dev/stderr"
DefaultRuntimeDir "{directory}"
LoadModule mpm_event_module "{modules}/mod_mpm_event.so"
LoadModule authz_core_module "{modules}/mod_authz_core.so"
LoadModule wsgi_module "{modules}/mod_wsgi.so"
{user}
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
Timeout 30
KeepAlive On
KeepAliveTimeout 1
AllowEncodedSlashes On
WSGISocketPrefix "{directory}/mod_wsgi"
WSGIDaemonProcess bridge processes=1 threads=4 python-path="{python_path}" shutdown-timeout=10
WSGIDaemonProcess sub processes=1 threads=2 python-path="{python_path}" shutdown-timeout=10
WSGIProcessGroup bridge
WSGIApplicationGroup %{{GLOBAL}}
WSGIChunkedRequest On
WSGIScriptAlias {sub} "{script}" process-group=sub application-group=sub
WSGIScriptAlias {mount} "{script}"
WSGIScriptAlias / "{script}"
<Directory "{script_directory}">
    Require all granted
</Directory>
"""


def why_unavailable() -> str | None:
    """Return why this Python cannot be served here, or None if it can."""
    if not Path(_PROGRAM).exists() or not _MODULE.exists():
        return "Apache with mod_wsgi is not installed"
    built_for = re.search(rb"libpython(3\.[0-9]+)", _MODULE.read_bytes())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if built_for is None or built_for[1].decode() != version:
        return f"mod_wsgi was built for Python {'?' if built_for is None else built_for[1].decode()}, this is {version}"
    if os.geteuid() == 0:
        for path in (_ROOT, Path(sysconfig.get_path("purelib"))):
            closed = next((one for one in (path, *path.parents) if one.stat().st_mode & 0o005 != 0o005), None)
            if closed is not None:
                return f"Apache's processes cannot read {closed}"
    return None


def configuration(directory: Path, host: str, port: int) -> str:
    """Return Apache's configuration."""
    script = Path(__file__).with_name("mod_wsgi_application.py")
    return _CONFIGURATION.format(
        directory=directory,
        host=host,
        port=port,
        modules=_MODULES,
        user=f"User {_USER}\nGroup {_USER}" if os.geteuid() == 0 else "",
        python_path=f"{sysconfig.get_path('purelib')}:{_ROOT}",
        mount=MOUNT,
        sub=SUB_INTERPRETER_MOUNT,
        script=script,
        script_directory=script.parent,
    )


if __name__ == "__main__":
    here = Path.cwd()
    file = here / "apache.conf"
    file.write_text(configuration(here, *address()))
    program = shutil.which(_PROGRAM) or _PROGRAM
    os.environ["BRIDGE_TEST_APP"] = sys.argv[1]
    os.execv(program, [program, "-f", str(file), "-D", "FOREGROUND"])
