"""Files, directories and links made, moved, removed, and given owners and modes."""

from __future__ import annotations

from vm.program import Handler

touch: Handler | None = None
mkdir: Handler | None = None
link: Handler | None = None
symlink: Handler | None = None
unlink: Handler | None = None
rmdir: Handler | None = None
rename: Handler | None = None
copy: Handler | None = None
chown: Handler | None = None
chgrp: Handler | None = None
chmod: Handler | None = None
mkparent: Handler | None = None
