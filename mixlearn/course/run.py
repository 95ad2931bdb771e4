"""Calls of a student's function, and everything that can be observed of each.

`check` uses this module in the same process. The grader runs the file by itself (`python -I run.py`) in
another one, which therefore never holds an answer: see `mixlearn.course.grade` for what that protects.
"""

from __future__ import annotations  # notebooks are compiled alike, so that no annotation can fail

import ast
import contextlib
import ctypes
import dis
import io
import json
import os
import random
import re
import runpy
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Function = Callable[..., Any]
Calls = Iterator[tuple[Any, ...]]  # of each call the arguments, made anew
MOST = 2**21  # numbers of one result; more is refused


@dataclass
class Outcome:
    """What one call did: its `value`, or the name and text of an `error`."""

    value: Any = None
    beside: list[Tensor] | None = None  # the gradients that are asked for, or the model's weights afterwards
    error: str = ""
    text: str = ""


class TooLate(BaseException):
    """Raised in a thread whose time is over."""


def perform(function: Function, arguments: tuple[Any, ...], wanted: Sequence[int] = ()) -> Outcome:
    """Call a function once, with gradients of the arguments `wanted`. `TooLate` passes through."""
    leaves = [arguments[k].requires_grad_() for k in wanted]
    models = [one for one in arguments if isinstance(one, nn.Module)]
    try:
        value = function(*arguments)
        beside = _gradients(value, leaves) if wanted else [w for one in models for w in one.parameters()]
        return Outcome(*unpack(pack([value, beside])))
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        entered = error.__traceback__ and error.__traceback__.tb_next
        name = type(error).__name__ if entered or not isinstance(error, TypeError) else "wrong-parameters"
        return Outcome(error=name, text=_where(function, error))


def perform_all(function: Function, calls: Callable[[], Calls], wanted: Sequence[int]) -> Iterator[Outcome]:
    """The outcomes of all calls, as far as time allows; the last tells of draws from a global generator."""
    states: dict[str, Any] = {"torch's": (torch.get_rng_state, torch.set_rng_state)}
    states["Python's"] = random.getstate, random.setstate
    if numpy := sys.modules.get("numpy"):
        states["numpy's"] = numpy.random.get_state, numpy.random.set_state
    before = {name: get() for name, (get, _) in states.items()}
    try:
        every = list(zip(calls(), calls(), strict=True))
        for k, (given, kept) in enumerate(every, 1):
            outcome = perform(function, given, wanted)
            for n, (one, old) in enumerate(zip(given, kept, strict=True), 1):
                if pack(one) != pack(old):
                    outcome = Outcome(error="input-changed", text=f"argument {n} was changed.")
            for name, (get, _) in states.items():
                if k == len(every) and pack(get()) != pack(before[name]):
                    outcome = Outcome(error="global-generator", text=f"{name} global generator was used.")
            yield outcome
    except TooLate:
        pass
    finally:
        for name, (_, put) in states.items():
            put(before[name])


def _gradients(value: Any, inputs: list[Tensor]) -> list[Tensor] | None:
    """Of the sum of all results; zeros where none arrives, None where nothing can be differentiated."""
    parts = value if isinstance(value, (tuple, list)) else [value]
    sums = [one.sum() for one in parts if isinstance(one, Tensor) and one.requires_grad]
    if not sums:
        return None
    return list(torch.autograd.grad(sums, inputs, allow_unused=True, materialize_grads=True))


def _where(function: Function, error: BaseException) -> str:
    """The error's text, and the line of the student's own code that it came from."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    with contextlib.suppress(BaseException):  # a student's error may fail to print itself
        return f"{error}"[:300] + (f" (line {lines[-1]} of your code)" if lines else "")
    return ""


def timed(work: Callable[[], Any], seconds: float) -> tuple[bool, str]:
    """Do it in a thread, for so long on this process's clock: whether it goes on, and what it printed."""
    paper, clock, used = io.StringIO(), time.monotonic(), time.process_time()
    with contextlib.redirect_stdout(paper), contextlib.redirect_stderr(paper):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive() and (passed := time.monotonic() - clock) < 6 * seconds:
            if min(passed, time.process_time() - used) > seconds:
                break
            thread.join(0.05)
        if thread.is_alive():
            identity = ctypes.c_ulong(thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(TooLate))
            thread.join(0.2)
    return thread.is_alive(), paper.getvalue()


# ------------------------------------------------------------------ plain data, to be sent between processes
def pack(value: Any) -> Any:
    """Numbers, texts, lists, dicts and tensors as JSON; of anything else the name of its type."""
    if value is None or value is ...:  # which stands where nothing is written
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, Mapping):
        return {"dict": [[str(name)[:100], pack(one)] for name, one in list(value.items())[:1000]]}
    if isinstance(value, (list, tuple)) and len(value) <= 1000:
        return [pack(one) for one in value]
    if hasattr(value, "__array__"):
        value = torch.as_tensor(value)
        if value.layout == torch.strided and value.numel() <= MOST:
            data = value.flatten().tolist() if value.device.type == "cpu" and not value.is_complex() else None
            return {"tensor": [str(value.dtype).removeprefix("torch."), list(value.shape), data]}
    return value[:1000] if isinstance(value, str) else type(value).__name__


def unpack(value: Any) -> Any:
    """The inverse of `pack`. It makes nothing but plain data, whatever the other side sent."""
    if isinstance(value, list):
        return [unpack(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {str(name): unpack(one) for name, one in value["dict"]}
    name, shape, data = value["tensor"]
    if data is None:  # of another device, or complex
        return torch.empty(shape, dtype=getattr(torch, name), device="meta")
    return torch.tensor(data, dtype=getattr(torch, name)).reshape(shape)


# ------------------------------------------------------------------------ the grader's other process (Linux)
PRIVATE, READ_ONLY = 0x40000 | 0x4000, 1  # flags of `mount`
SPACES = 0x10000000 | 0x20000 | 0x40000000 | 0x20000000 | 0x8000000  # user, mounts, network, processes, IPC
WRITES = r"remove|rename|rmdir|mkdir|link|symlink|truncate|chmod"
REFUSED = re.compile(rf"socket\.|subprocess\.|pty\.spawn|os\.(system|exec|fork|posix_spawn|kill|{WRITES})")


def serve(config: dict[str, Any]) -> None:
    """Import torch once; then a fresh, confined child for each connection."""
    sys.path[:] = config["path"]
    calls = runpy.run_path(config["inputs"])["calls"]
    perform(lambda _, sgd, *rest: sgd.step(), next(calls("train_step", 0)))  # torch loads its parts
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=0) as door:
        while True:
            line, _ = door.accept()
            if os.fork() == 0:
                try:
                    _answer(line, config, calls)
                finally:
                    os._exit(0)
            line.close()


def _confined(config: dict[str, Any]) -> list[str]:
    """Give up what a notebook must not have; the protections that hold."""
    import resource

    held, libc, ids = [], ctypes.CDLL(None, use_errno=True), (os.getuid(), os.getgid())
    used = Path("/proc/self/statm")  # Linux; elsewhere the limit counts what torch itself takes
    pages = int(used.read_text().split()[0]) if used.exists() else 0
    memory, room = pages * resource.getpagesize() + config["memory"], config["room"].encode()
    if sys.platform == "linux" and libc.unshare(SPACES) == 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {ids[0]} 1"), ("gid_map", f"0 {ids[1]} 1")):
            Path("/proc/self", name).write_text(text)
        held += ["no network", "no other process in reach"]
        libc.mount(None, b"/", None, PRIVATE, None)
        if libc.syscall(442, -100, b"/", 0x8000, struct.pack("4Q", 1, 0, 0, 0), ctypes.c_size_t(32)) == 0:
            held.append("files read-only")  # 442: mount_setattr, of everything below /
        hidden = [libc.mount(b"none", p.encode(), b"tmpfs", READ_ONLY, b"size=4k") for p in config["hide"]]
        held += ["answers and hand-ins hidden"] if not any(hidden) else []
        libc.mount(b"none", room, b"tmpfs", 0, b"size=64m")
        if os.fork():  # the child is the first of its own processes: with it all others end
            os.wait()
            os._exit(0)
        libc.prctl(1, signal.SIGKILL)  # end with the parent
        libc.mount(b"proc", b"/proc", b"proc", 0, None)
    os.chdir(room)
    if sys.platform == "linux":
        libc.prctl(38, 1, 0, 0, 0)  # no new privileges, and no capability that is left
        libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6))
    for what, most in (("AS", memory), ("CPU", config["cpu"]), ("FSIZE", 2**24), ("CORE", 0), ("NOFILE", 64)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (most, most))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # the door; output goes nowhere since the start
    sys.modules["mixlearn"] = None  # type: ignore[assignment]  # so that its import is refused
    sys.addaudithook(lambda event, args: _refuse(event, args, config))
    return held


def _refuse(event: str, args: tuple[Any, ...], config: dict[str, Any]) -> None:
    """A second fence, in Python only: it tells what is refused, and does what it can on other systems."""
    if REFUSED.match(event):
        raise PermissionError(f"the grader refuses {event}")
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(args[0]))
        writes = (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        outside = writes and not path.startswith((config["room"], os.devnull))
        if outside or path.startswith(tuple(config["hide"])):
            raise PermissionError("the grader refuses to write outside its folder and hides its own files")


def _answer(line: socket.socket, config: dict[str, Any], calls: Callable[..., Calls]) -> None:
    """Load what one exercise needs of a notebook, and make all its calls."""
    with Connection(line.detach()) as stream:
        os.setsid()
        stream.send_bytes(json.dumps([os.getpid(), _confined(config)]).encode())
        task = json.loads(stream.recv_bytes())
        function, fault = load(task["cells"], task["name"])
        asked = partial(calls, task["name"], task["seed"], task["draws"])
        every = perform_all(function, asked, task["wanted"])
        for outcome in [Outcome(error="not-found", text=fault)] if fault else every:
            stream.send_bytes(json.dumps(pack(vars(outcome))).encode())


def load(cells: list[str], name: str) -> tuple[Any, str]:
    """Execute the statements that the function needs, and no others; the function, or why there is none."""
    space: dict[str, Any] = {"__name__": "answers"}
    statements, fault = [], "nothing defines it."  # each as code, with the names it binds and those it uses
    for source in cells:
        try:
            for node in ast.parse(re.sub(r"^[ \t]*[%!].*", "", source, flags=re.M)).body:
                code = compile(ast.Module([node], []), "<answers>", "exec")
                stored = (one for one in dis.get_instructions(code) if one.opname == "STORE_NAME")
                star = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
                uses = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                statements.append((code, {"*"} if star else {one.argval for one in stored}, uses))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            fault = f"its cell is no Python: {error}" if f"def {name}(" in source else fault
    wanted, before = {name, "*"}, set[str]()
    while wanted != before:
        before = set(wanted)
        wanted |= {use for _, binds, uses in statements if binds & before for use in uses}
    for code, binds, _ in statements:
        try:
            if binds & wanted:
                exec(code, space)
        except BaseException as error:
            fault = f"{type(error).__name__}: {error}"[:300] if name in binds else fault
    return (space[name], "") if callable(space.get(name)) else (None, fault)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
