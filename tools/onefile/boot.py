"""The one file's importer: modules, samples and shared objects, all out of the one archive that was started.

The archive is opened once and read through that descriptor ever after, so a newer file renamed over it, a
changed directory or dropped privileges change nothing for a process that is running. A process that closes
descriptors it does not know must leave `Archive.descriptor` alone.

Inside, as `build.py` lays it out:

    __main__.py                 start.py
    licenses/NAME/…             of every package that is inside
    native/MACHINE/…            shared objects, MACHINE as `uname -m` says, not compressed
    python/TAG/…                byte code of one Python, this module, and an index of all that it may use
    share/…                     what packages carry beside code, under its path in the checkout
"""

import errno
import importlib
import marshal
import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import CodeType, ModuleType

PYC_HEADER = 16
"""Bytes before the code in a .pyc (PEP 552)."""

NOEXEC_SEAL = 0x0008
"""MFD_NOEXEC_SEAL: the one kind of memory file where vm.memfd_noexec is 2. To be mapped it needs no more."""


class Archive:
    """Finder and loader of all that one archive has for one Python on one kind of machine.

    `descriptor` is open on the archive; `root` is the path under which members seem to be, for show.
    `members` has each one's offset, stored size and whether it is deflated; `modules` and `natives` say which
    member a module is. Members are named as a package sees them: code and what is beside it in one folder.
    """

    def __init__(
        self,
        descriptor: int,
        root: str,
        members: Mapping[str, tuple[int, int, bool]],
        modules: Mapping[str, str],
        natives: Mapping[str, str],
    ) -> None:
        self.descriptor = descriptor
        self.root = root
        self.members = members
        self.modules = modules
        self.natives = natives
        self.kept: list[
            int
        ] = []  # shared objects' files: glibc knows them by name, so no name may come again

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module is (importlib.abc.MetaPathFinder); None: not in here."""
        member = self.modules.get(name)
        if member is not None:
            package = member.endswith("/__init__.pyc")
            # A loader by its methods: the class that says so costs more to import than this whole module.
            spec = ModuleSpec(name, self, origin=f"{self.root}/{member}", is_package=package)  # type: ignore[arg-type]
            spec.has_location = True
            if package:
                spec.submodule_search_locations = [f"{self.root}/{member.removesuffix('/__init__.pyc')}"]
            return spec
        member = self.natives.get(name)
        if member is not None:
            file = self.place(member)
            return ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)
        return None

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """Leave it to Python (importlib.abc.Loader)."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code in it (importlib.abc.Loader)."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """A module's code (importlib.abc.InspectLoader)."""
        code: CodeType = marshal.loads(memoryview(self.read(self.modules[name]))[PYC_HEADER:])
        return code

    def get_data(self, path: str) -> bytes:
        """What lies beside a package's code, by the path that it would have there; or OSError."""
        try:
            return self.read(path.removeprefix(f"{self.root}/"))
        except KeyError:
            raise FileNotFoundError(f"{path}: not in this file") from None

    def read(self, member: str) -> bytes:
        """The bytes of a member; KeyError where there is none."""
        offset, size, deflated = self.members[member]
        stored = os.pread(self.descriptor, size, offset)
        return zlib.decompress(stored, -zlib.MAX_WBITS) if deflated else stored

    def place(self, member: str) -> str:
        """A path from which the dynamic loader can map a member, good for as long as this process lives."""
        contents = self.read(member)
        try:
            descriptor = in_memory(member, contents)
        except OSError as refusal:
            descriptor = in_cache(member, contents, refusal)
        self.kept.append(descriptor)
        return f"/proc/self/fd/{descriptor}"


def in_memory(member: str, contents: bytes) -> int:
    """A file in memory with these contents, nameless and gone with the process; OSError where refused."""
    try:
        descriptor = os.memfd_create(member, os.MFD_CLOEXEC | NOEXEC_SEAL)
    except OSError:  # a kernel before 6.3 does not know the flag
        descriptor = os.memfd_create(member, os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(contents)
    return descriptor


def in_cache(member: str, contents: bytes, refusal: OSError) -> int:
    """A file of the user's own with these contents, made where it is missing; for want of the other.

    It is in the user's directory as the password database has it, whatever HOME says. What is opened is what
    is checked and what is mapped: this user's file, that nobody else may write, with exactly these contents.
    """
    import hashlib

    directory = cache()
    path = f"{directory}/{hashlib.sha256(contents).hexdigest()}.so"
    try:
        try:
            return own(path, contents)
        except FileNotFoundError:
            os.makedirs(directory, 0o700, exist_ok=True)
            write(path, contents)
            return own(path, contents)
    except OSError as error:
        from errors import CwError

        why = f"files in memory are refused ({refusal.strerror}), and so is {path} ({error.strerror})"
        raise CwError(f"cannot load {member}: {why}") from error


def cache() -> str:
    """The directory for files that hosts without memory files need."""
    if os.geteuid() == 0:
        return "/var/cache/clockwork"
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_dir + "/.cache/clockwork"


def write(path: str, contents: bytes) -> None:
    """Put a whole file there, or none; several at once may."""
    unfinished = f"{path}.{os.urandom(8).hex()}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o500)
    try:
        with open(descriptor, "wb") as file:
            file.write(contents)
        os.rename(unfinished, path)
    except OSError:
        os.unlink(unfinished)
        raise


def own(path: str, contents: bytes) -> int:
    """The descriptor of a file of this user alone, with these contents, that can be mapped; or OSError."""
    import mmap

    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        with open(descriptor, "rb", closefd=False) as file:
            if status.st_uid != os.geteuid() or status.st_mode & 0o022 or file.read() != contents:
                raise PermissionError(errno.EPERM, "it is not the file that cw put there")
        mmap.mmap(descriptor, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def stand_in() -> None:
    """Let the null device be every standard stream that is closed, here and in what is started from here.

    Before any other file is opened: one that took the number of a closed stream would be written to as that.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            stream = os.fdopen(descriptor, mode, encoding="utf-8")
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def start(root: str, tag: str, index: bytes) -> int:
    """Be cw, out of the archive at this path; the exit status. `tag` and `index` are this Python's."""
    stand_in()
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    members, modules, natives = marshal.loads(index)
    machine = os.uname().machine
    if machine not in natives:
        sys.stderr.write(f"cw: this file was built for {' and '.join(natives)}, not for {machine}\n")
        return 2
    sys.path.remove(root)  # so that no import opens it by its name again
    sys.meta_path.insert(0, Archive(descriptor, f"{root}/python/{tag}", members, modules, natives[machine]))
    status: int = importlib.import_module("cw").main()
    return status
