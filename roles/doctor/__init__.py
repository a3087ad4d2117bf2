"""`cw doctor`: looks at the set-ups on this host, end to end, and says what is wrong and how to mend it.

It changes nothing. Brokers come first, since agents and clients of the same host are compared with them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from conf import client as client_conf
from conf.document import DEFAULT, from_file, insist_on_some
from conf.kinds import ConfError, brief, shown
from conf.schema import CogdConf, MeshdConf, sections_of
from roles.arguments import Parser, UsageError
from roles.doctor.diagnosis import FAIL, Diagnosis

EXAMPLES = """\
  cw doctor                                   what is configured on this host
  cw doctor -c site/meshd.toml site/cw.toml   these, whosesoever they are
"""

MESHD, COGD, CW = "meshd", "cogd", "cw"
SECTIONS: Mapping[str, frozenset[str]] = {
    MESHD: frozenset(sections_of(MeshdConf)),
    COGD: frozenset(sections_of(CogdConf)),
    CW: frozenset(key.section for key in client_conf.KEYS),
}
"""Which sections each role's configuration has; the roles in the order in which they are looked at."""
ONLY: Mapping[str, frozenset[str]] = {
    role: known.difference(*(SECTIONS[other] for other in SECTIONS if other != role))
    for role, known in SECTIONS.items()
}
"""Those that no other role's has."""
LONGEST = 5
"""Sections of a file that an error names."""


class Patients(NamedTuple):
    """Files of set-ups, by whose they are; `usual` is the client's of the usual places, if there is one."""

    files: Mapping[str, Sequence[Path]]
    unreadable: Sequence[Path] = ()
    usual: bool = False


def main(argv: Sequence[str]) -> int:
    """Look at every set-up that is asked for, and say of each check how it went; 1 if any failed."""
    options = parser().parse_args(argv)
    patients = of_files(options.config) if options.config else of_this_host()
    diagnosis = Diagnosis(_write)
    examine(diagnosis, patients)
    print(diagnosis.summary(), file=sys.stderr)
    return 1 if diagnosis.counts[FAIL] else 0


def parser() -> Parser:
    """The command line."""
    words = Parser(
        "doctor",
        "Checks the set-up of a broker, an agent or a client: files, keys, the way to the broker, a ping.\n"
        "Each check is ok, something to look at (warn) or a FAILure, which come with how to mend them.\n"
        "Run it as the user whom the set-up is for. It changes nothing.",
        EXAMPLES,
    )
    words.add_argument(
        "-c",
        "--config",
        nargs="+",
        action="extend",
        metavar="FILE",
        type=Path,
        help="configurations, instead of those in the usual places",
    )
    return words


def examine(diagnosis: Diagnosis, patients: Patients) -> None:
    """All checks of all of them."""
    from roles.doctor import agent, broker, client  # not to know what options there are

    for file in patients.unreadable:
        diagnosis.about = file.name
        diagnosis.tries("configuration", partial(from_file, file), "mend the file: conf/ has samples")
    diagnosis.about = MESHD
    brokers = [found for file in patients.files.get(MESHD, ()) if (found := broker.look(diagnosis, file))]
    diagnosis.about = COGD
    for file in patients.files.get(COGD, ()):
        agent.look(diagnosis, file, brokers)
    diagnosis.about = CW
    for client_file in [*patients.files.get(CW, ()), *[None] * patients.usual]:
        client.look(diagnosis, client_file, brokers)


def of_this_host() -> Patients:
    """What is in the usual places. Raises NoConfiguration."""
    own = Path(os.path.expanduser(client_conf.OWN_FILE))
    daemons = {
        role: [file] for role, file in ((MESHD, MeshdConf.FILE), (COGD, CogdConf.FILE)) if _is_there(file)
    }
    usual = _is_there(client_conf.FILE) or _is_there(own)
    if not daemons and not usual:
        places = (MeshdConf.FILE, CogdConf.FILE, client_conf.FILE, client_conf.OWN_FILE)
        insist_on_some([str(place) for place in places], DEFAULT, own)
    return Patients(daemons, usual=usual)


def of_files(paths: Iterable[Path]) -> Patients:
    """Whose they are, by their sections. Raises UsageError."""
    files: dict[str, list[Path]] = {}
    unreadable: list[Path] = []
    for path in paths:
        try:
            sections = from_file(path).values
        except (ConfError, OSError):  # no current directory, where the path is relative
            unreadable.append(path)
        else:
            files.setdefault(role_of(path, sections), []).append(path)
    return Patients(files, unreadable)


def role_of(path: Path, sections: Iterable[str]) -> str:
    """The one role that has sections which no other has. Raises UsageError unless there is just one."""
    found = [role for role, only in ONLY.items() if only.intersection(sections)]
    if len(found) == 1:
        return found[0]
    expected = ", or of ".join(f"{role}.toml, [{'] ['.join(sorted(only))}]" for role, only in ONLY.items())
    got = [f"[{shown(section)[1:-1]}]" for section in sections]
    listed = " ".join(got[:LONGEST]) + " …" * (len(got) > LONGEST)
    raise UsageError(f"{brief(path)}: expected sections of {expected}; got {listed or 'none'}")


def _is_there(path: Path) -> bool:
    """Whether there is such a file: one that cannot be looked for may be there, and loading it says more."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()
