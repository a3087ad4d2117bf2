"""What kind of file a path is, and the fields of its lstat."""

from __future__ import annotations

from vm.program import Handler

stat: Handler | None = None
type_of: Handler | None = None
is_file: Handler | None = None
is_symlink: Handler | None = None
is_dir: Handler | None = None
is_chardev: Handler | None = None
is_blockdev: Handler | None = None
is_fifo: Handler | None = None
is_socket: Handler | None = None
readlink: Handler | None = None
dev: Handler | None = None
inode: Handler | None = None
mode: Handler | None = None
nlink: Handler | None = None
uid: Handler | None = None
gid: Handler | None = None
major: Handler | None = None
minor: Handler | None = None
size: Handler | None = None
atime: Handler | None = None
mtime: Handler | None = None
ctime: Handler | None = None
