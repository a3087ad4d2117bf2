"""Asks auth.pam what a test wants to know, in a process of its own: no threads when the spawner is forked.

Arguments: service, limit. Standard input: a JSON list of [name, user, password, seconds of patience or null],
asked at once, in order. Standard output: a JSON line [name, accepted, reason] for each as it is answered, and
at last ["left", the spawner's processes, ""].
"""

import json
import os
import sys
from functools import partial
from pathlib import Path

import trio

from auth import pam
from net import spawner


async def ask(checker: pam.Pam, name: str, user: str, password: str, patience: float | None) -> None:
    with trio.move_on_after(patience if patience is not None else 60) as scope:
        try:
            accepted, reason = await checker.check(user, password)
            print(json.dumps([name, accepted, reason]), flush=True)
        except pam.PamError as error:
            print(json.dumps([name, None, str(error)]), flush=True)
    if scope.cancelled_caught:
        print(json.dumps([name, None, "given up"]), flush=True)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def ask_all(checker: pam.Pam) -> None:
    async with trio.open_nursery() as nursery:
        for question in json.load(sys.stdin):
            nursery.start_soon(ask, checker, *question)
    with trio.move_on_after(10):
        while left := [child for forker in children_of(os.getpid()) for child in children_of(forker)]:
            await trio.lowlevel.checkpoint()
    print(json.dumps(["left", left, ""]), flush=True)


if __name__ == "__main__":
    hands = spawner.start(partial(pam.answer, sys.argv[1]))
    trio.run(ask_all, pam.Pam(hands, float(sys.argv[2])))
    hands.close()
