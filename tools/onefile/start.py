"""Start cw from its one file, or say in one sentence why this Python cannot.

This becomes the file's __main__.py. Any Python since 2.7 must be able to read it (so no annotations here);
all that comes after it is byte code of the one that runs it.
"""

import marshal
import sys


def refuse(why):
    """End with one line and the status of a usage error."""
    sys.stderr.write("cw: %s\n" % why)
    sys.exit(2)


def start():
    """Run cw; never returns."""
    if sys.version_info < (3, 11):
        refuse("needs Python 3.11 or later; %s is Python %d.%d" % ((sys.executable,) + sys.version_info[:2]))
    loader = __spec__.loader  # the zip importer that found this very module
    tag = str(sys.implementation.cache_tag) + sys.abiflags.replace("d", "")  # "t": another ABI under one tag
    part = "%s/python/%s/" % (loader.archive, tag)
    try:
        boot = loader.get_data(part + "boot.pyc")
        index = loader.get_data(part + "index")
    except OSError:
        refuse("this file was not built for %s, which is %s" % (sys.executable, tag))
    except ImportError:
        refuse("%s is damaged, or was replaced in this very moment: start it again" % loader.archive)
    names = {"__name__": "boot"}
    exec(marshal.loads(boot[16:]), names)
    sys.exit(names["start"](loader.archive, tag, index))


try:
    start()
except KeyboardInterrupt:
    sys.exit(130)
