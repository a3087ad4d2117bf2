"""The Augeas library, where the host has it: loaded by ctypes at first use, so cw does not depend on it."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_void_p
from functools import cached_property
from typing import Any

from vm.host.augeas import Refused

LIBRARY = "libaugeas.so.0"
LENS, FILE = b"Hosts.lns", b"/etc/hosts"
"""The lens that is loaded, and the file under the root that it reads (pendulum.md "augeas")."""

FILE_LIMIT = 1 << 20
"""Bytes of that file: Augeas' time to save grows with the square of it, and nothing can interrupt it."""

PATH_LIMIT = 4_096
"""Bytes of a path expression: Augeas reads it by recursion, and one of 100,000 brackets ends the process."""

MEMORY = 128 << 20
"""Bytes that path expressions may take: regexp('((a{1,255}){1,255}){1,255}') would take all there are."""

WRONG_LIMIT = 500
"""Characters of what Augeas says went wrong."""

_NO_LOAD, _NO_MODULES, _KEEP_ON_ERROR = 1 << 5, 1 << 6, 1 << 7
"""Of aug_init: read no file and no lens but those that are asked for; a handle that says what went wrong."""

_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "aug_init": (c_void_p, (c_char_p, c_char_p, c_uint)),
    "aug_close": (None, (c_void_p,)),
    "aug_load": (c_int, (c_void_p,)),
    "aug_save": (c_int, (c_void_p,)),
    "aug_set": (c_int, (c_void_p, c_char_p, c_char_p)),
    "aug_get": (c_int, (c_void_p, c_char_p, POINTER(c_char_p))),
    "aug_rm": (c_int, (c_void_p, c_char_p)),
    "aug_match": (c_int, (c_void_p, c_char_p, POINTER(POINTER(c_void_p)))),
    "aug_error": (c_int, (c_void_p,)),
    "aug_error_message": (c_char_p, (c_void_p,)),
    "aug_error_minor_message": (c_char_p, (c_void_p,)),
    "aug_error_details": (c_char_p, (c_void_p,)),
    "free": (None, (c_void_p,)),
}
"""What is used of the library, and of C's below it: what each returns, and what it takes (augeas.h)."""

_ERRNO = {
    1: errno.ENOMEM,  # AUG_ENOMEM
    3: errno.EINVAL,  # AUG_EPATHX
    4: errno.ENOENT,  # AUG_ENOMATCH
    5: errno.EMLINK,  # AUG_EMMATCH
    6: errno.EINVAL,  # AUG_ESYNTAX
    7: errno.ENOENT,  # AUG_ENOLENS
    12: errno.EINVAL,  # AUG_ELABEL
}
"""The library's errors, where the system has a word for them."""

_FILE_ERRNO = {b"parse_failed": errno.EINVAL, b"put_failed": errno.EINVAL}
"""The library's errors about a file, where the file's form is at fault."""

_FILE_ERRORS = (b"/augeas/load//error", b"/augeas/files//error")
"""Where it keeps them."""


class LocalAugeas:
    """vm.host.augeas.Augeas through the real library, by its file's name or path."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._name = library

    @cached_property
    def _library(self) -> Any:
        try:
            library = ctypes.CDLL(self._name)
            for name, (returns, takes) in _FUNCTIONS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = returns, takes
        except (OSError, AttributeError) as error:
            # What ctypes says of a missing library is no errno: it names files that were looked at.
            sentence = (
                f"Augeas is not on this host (expected: {self._name}, in Debian the package libaugeas0)"
            )
            raise Refused(errno.ELIBACC, sentence) from error
        return library

    @cached_property
    def _space(self) -> int:
        """Bytes of addresses that this process may have in a call: set once, since what is too much leaks."""
        with open("/proc/self/statm", "rb") as pages:
            return int(pages.read().split()[0]) * os.sysconf("SC_PAGE_SIZE") + MEMORY

    def open(self, root: bytes) -> LocalTree:
        """A tree of ROOT/etc/hosts, which may be missing. Raises Refused, ELIBACC if there is no library."""
        tree = LocalTree(self._library, root, self._space)
        try:
            tree.load()
        except Refused:
            tree.close()
            raise
        return tree


class LocalTree:
    """vm.host.augeas.Tree, a handle of the library's."""

    def __init__(self, library: Any, root: bytes, space: int) -> None:
        self._aug = library
        self._root = root
        self._space = space
        self._handle = library.aug_init(_clean(root), None, _NO_LOAD | _NO_MODULES | _KEEP_ON_ERROR)
        if self._handle is None:
            raise Refused(errno.ENOMEM, "Augeas could not be started")

    def load(self) -> None:
        """Read the file. Raises Refused for one that is not in the form that the lens reads."""
        self._no_error()
        _look_at(self._root + FILE)
        self.set(b"/augeas/load/Hosts/lens", LENS)
        self.set(b"/augeas/load/Hosts/incl", FILE)
        self._done(self._aug.aug_load(self._handle))
        self._no_file_error()

    def get(self, path: bytes) -> bytes:
        """The value of the one node that matches; empty if it has none."""
        value = c_char_p()
        if self._ask("aug_get", path, byref(value)) == 0:
            raise _no_match(path)
        return value.value or b""

    def set(self, path: bytes, value: bytes) -> None:
        """Set the value of the one node that matches, or make that node."""
        self._ask("aug_set", path, _clean(value))

    def find(self, path: bytes) -> bytes:
        """The full path of the one node that matches."""
        count = self._ask("aug_match", path, None)
        if count != 1:
            raise (
                _no_match(path)
                if count == 0
                else Refused(errno.EMLINK, f"{count} nodes match {_shown(path)}")
            )
        return self._matches(path)[0]

    def remove(self, path: bytes) -> None:
        """Remove the nodes that match, at least one, with what is below them."""
        if self._ask("aug_rm", path) == 0:
            raise _no_match(path)

    def save(self) -> None:
        """Write the files whose nodes were changed; the rest of such a file stays as it is."""
        _look_at(self._root + FILE)
        result = self._aug.aug_save(self._handle)
        if result < 0:
            self._no_file_error()
        self._done(result)

    def close(self) -> None:
        """Forget the tree; called once, and nothing after it."""
        self._aug.aug_close(self._handle)

    def _ask(self, name: str, path: bytes, *rest: Any) -> int:
        """What a function of the library returns for a program's path expression, in bounded memory."""
        expression = _expression(path)
        before, most = resource.getrlimit(resource.RLIMIT_AS)
        space = self._space if before == resource.RLIM_INFINITY else min(self._space, before)
        resource.setrlimit(resource.RLIMIT_AS, (space, most))
        try:
            result = getattr(self._aug, name)(self._handle, expression, *rest)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (before, most))
        return self._done(result)

    def _matches(self, path: bytes) -> list[bytes]:
        """The full paths of all nodes that match."""
        found = POINTER(c_void_p)()
        count = self._aug.aug_match(self._handle, path, byref(found))
        if count < 0:
            return []
        try:
            return [ctypes.string_at(found[number]) for number in range(count)]
        finally:
            for number in range(count):
                self._aug.free(found[number])
            self._aug.free(found)

    def _done(self, result: int) -> int:
        """What a function of the library returned, if it is not that it failed."""
        if result < 0:
            self._no_error()
            raise Refused(errno.EIO, "Augeas failed, and does not say why")
        return result

    def _no_error(self) -> None:
        """Raise what the library says went wrong in the call before, if anything did."""
        number = self._aug.aug_error(self._handle)
        if number == 0:
            return
        said = [
            getattr(self._aug, name)(self._handle)
            for name in ("aug_error_message", "aug_error_minor_message", "aug_error_details")
        ]
        raise Refused(_ERRNO.get(number, errno.EIO), _line(": ".join(_shown(part) for part in said if part)))

    def _no_file_error(self) -> None:
        """Raise what the library notes about files, which it does not call errors."""
        for node in [node for place in _FILE_ERRORS for node in self._matches(place)]:
            raise self._file_error(node)

    def _file_error(self, node: bytes) -> Refused:
        kind = self._value(node)
        file = node.removeprefix(b"/augeas/files").removesuffix(b"/error")
        place = b":".join(filter(None, (file, self._value(node + b"/line"), self._value(node + b"/char"))))
        said = ": ".join(_shown(part) for part in (place, kind, self._value(node + b"/message")) if part)
        return Refused(_FILE_ERRNO.get(kind, errno.EIO), _line(said))

    def _value(self, path: bytes) -> bytes:
        value = c_char_p()
        self._aug.aug_get(self._handle, path, byref(value))
        return value.value or b""


def _look_at(path: bytes) -> None:
    """Refuse to have Augeas read what is no ordinary file of an ordinary size: it might never end."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(error.errno or errno.EIO, f"{_shown(path)}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise Refused(errno.EINVAL, f"{_shown(path)} is not a regular file")
    if found.st_size > FILE_LIMIT:
        raise Refused(
            errno.EFBIG, f"{_shown(path)} has {found.st_size} bytes (expected at most {FILE_LIMIT})"
        )


def _clean(text: bytes) -> bytes:
    """What C can read to its end."""
    if b"\0" in text:
        raise Refused(errno.EINVAL, f"a NUL byte in {_shown(text)}")
    return text


def _expression(path: bytes) -> bytes:
    """A path expression that the library may see."""
    if len(path) > PATH_LIMIT:
        raise Refused(errno.ENAMETOOLONG, f"a path of {len(path)} bytes (expected at most {PATH_LIMIT})")
    return _clean(path)


def _no_match(path: bytes) -> Refused:
    return Refused(errno.ENOENT, f"no node matches {_shown(path)}")


def _shown(text: bytes) -> str:
    return os.fsdecode(text[:PATH_LIMIT])


def _line(text: str) -> str:
    return " ".join(text.split())[:WRONG_LIMIT]
