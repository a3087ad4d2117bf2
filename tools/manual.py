"""Writes the manual into a directory, a file a page: what `cw man` prints of each.

python -m tools.manual DIRECTORY
"""

import sys
from pathlib import Path

import cw
from roles.man import names, page


def main(directory: Path) -> None:
    """Write cw.1, cw-meshd.8 and so on; what is there is replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    commands = cw.commands()
    for name, title, section in names(commands):
        (directory / f"{title}.{section}").write_text(page(name, commands), "ascii")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
