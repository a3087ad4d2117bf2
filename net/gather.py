"""Every fact of this node but the time: built in, printed by executables of a directory, or static."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import trio

from errors import CwError
from mesh.facts import fault_of, parse_lines
from mesh.words import shown
from net.builtin import builtin, host_id

OUTPUT_LIMIT = 262_144
"""Bytes that a gatherer may print."""

ERROR_LIMIT = 1_024
"""Bytes of a gatherer's error output that are kept for the log; it may write more."""

AT_ONCE = 4
"""Gatherers that run at the same time; the others wait, which is not on their clock."""

REAPING = 1.0
"""Seconds that a killed gatherer may take to be gone."""

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

Complain = Callable[[str], None]
"""Where a sentence about a fault goes: a log's `warning`."""


class GathererError(CwError):
    """A gatherer did not do its work."""


async def every_fact(
    fqdn: str,
    node: str,
    version: str,
    directory: Path | None,
    static: Mapping[str, str],
    time_limit: float,
    log: Complain,
) -> dict[str, str]:
    """The facts of the node: gatherers' over those built in, `static` over both; what is none is logged.

    Those of the time (net/builtin.py `times`) are not among them, and give way to all of them.
    """
    found: dict[str, str] = builtin(fqdn, node, version)
    with trio.move_on_after(time_limit) as limit:
        try:
            found["sys.hostid"] = await trio.to_thread.run_sync(host_id, abandon_on_cancel=True)
        except RuntimeError as error:  # the host has no thread left (threading.Thread.start)
            log(f"sys.hostid: {error}")
    if limit.cancelled_caught:
        log(f"sys.hostid: the host's own name was not looked up within {time_limit:g} s")
    found |= await gather(directory, time_limit, log)
    found |= static
    faults = {name: fault for name, value in found.items() if (fault := fault_of(name, value))}
    for fault in faults.values():
        log(fault)
    return {name: value for name, value in found.items() if name not in faults}


async def gather(directory: Path | None, time_limit: float, log: Complain) -> dict[str, str]:
    """The facts that the executables of `directory` print, each within `time_limit` seconds.

    Of two that print the same fact the later by name wins. What others could have written, what fails or
    overruns is logged and skipped, and so is each line that is no fact.
    """
    printed: dict[Path, dict[str, str]] = {}
    turns = trio.CapacityLimiter(AT_ONCE)

    async def run(gatherer: Path) -> None:
        try:
            async with turns:
                output = await _output_of(gatherer, time_limit)
            printed[gatherer], complaints = parse_lines(output.decode())
        except UnicodeDecodeError:
            complaints = ["expected UTF-8"]
        except GathererError as error:
            complaints = [str(error)]
        for complaint in complaints:
            log(f"gatherer {gatherer}: {complaint}")

    found = gatherers(directory, log) if directory is not None else []
    async with trio.open_nursery() as nursery:
        for gatherer in found:
            nursery.start_soon(run, gatherer)
    return {name: value for gatherer in found for name, value in printed.get(gatherer, {}).items()}


def gatherers(directory: Path, log: Complain) -> list[Path]:
    """The executables to run, by name; hidden files are none. A directory that is not there has none."""
    try:
        paths = sorted(path for path in directory.absolute().iterdir() if not path.name.startswith("."))
        _insist_on_owner(directory.stat())
    except FileNotFoundError:
        return []
    except (OSError, GathererError) as error:
        log(f"gatherers {directory}: {getattr(error, 'strerror', None) or error}")
        return []
    trusted = []
    for path in paths:
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode) or not found.st_mode & stat.S_IXUSR:
                continue
            _insist_on_owner(found)
            trusted.append(path)
        except (OSError, GathererError) as error:
            log(f"gatherer {path}: {getattr(error, 'strerror', None) or error}")
    return trusted


def _insist_on_owner(found: os.stat_result) -> None:
    """Whoever can write what an agent runs is the agent: nobody but root and the agent's own user may."""
    if found.st_uid not in (0, os.geteuid()):
        raise GathererError(f"expected root or the user of this process as its owner, got uid {found.st_uid}")
    if found.st_mode & _OTHERS_WRITE:
        raise GathererError(
            f"expected that only its owner can write it, got mode {stat.S_IMODE(found.st_mode):04o}"
        )


async def _output_of(gatherer: Path, time_limit: float) -> bytes:
    """What a gatherer prints. It and its descendants are killed if they take too long or print too much."""
    try:
        process = await trio.lowlevel.open_process(
            [str(gatherer)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise GathererError(error.strerror or str(error)) from error
    output, errors, ended = bytearray(), bytearray(), False
    try:
        with trio.move_on_after(time_limit):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_keep, process.stderr, errors, ERROR_LIMIT, None)
                nursery.start_soon(_keep, process.stdout, output, OUTPUT_LIMIT, nursery.cancel_scope)
            if len(output) <= OUTPUT_LIMIT:
                await process.wait()
                ended = True
    finally:
        if not ended:
            await _kill(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                await trio.aclose_forcefully(stream)
    if len(output) > OUTPUT_LIMIT:
        raise GathererError(f"killed: printed more than {OUTPUT_LIMIT} bytes")
    if not ended:
        raise GathererError(f"killed: not done within {time_limit:g} s")
    if process.returncode:
        said = shown(errors.decode("utf-8", "replace").strip())
        raise GathererError(f"ended with status {process.returncode}{said and ': ' + said}")
    return bytes(output)


async def _keep(
    stream: trio.abc.ReceiveStream | None, kept: bytearray, limit: int, overflow: trio.CancelScope | None
) -> None:
    """Reads to the end, keeping `limit` bytes and one more; `overflow` is cancelled at that one."""
    if stream is None:
        return
    async for piece in stream:
        kept += piece[: limit + 1 - len(kept)]
        if overflow is not None and len(kept) > limit:
            overflow.cancel()


async def _kill(process: trio.Process) -> None:
    """The process is not reaped yet, so that its number still names its own group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with trio.move_on_after(REAPING, shield=True):
        await process.wait()
