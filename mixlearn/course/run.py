"""Calls of a student's function, and everything that can be observed of each.

`check` uses this module in the same process. The grader runs the file by itself (`python -I run.py`) in
another one, which therefore never holds an answer: see `mixlearn.course.grade` for what that protects.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import ctypes
import inspect
import io
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

DTYPES = {
    str(one): one
    for one in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8)
    + (torch.int8, torch.int16, torch.int32, torch.int64, torch.complex64)
}
MOST = 2**23  # bytes of one result; more is refused


class Seed(NamedTuple):
    """Stands for a new generator with this seed."""

    value: int


class Net(NamedTuple):
    """Stands for a linear network with these weights, whose gradients are left over from an earlier step."""

    weight: Tensor  # (classes, pixels)
    stale: float


class Sgd(NamedTuple):
    """Stands for an optimiser of the network before it."""

    rate: float


MARKS = {one.__name__: one for one in (Seed, Net, Sgd)}


class Odd(NamedTuple):
    """Stands for a result that is neither numbers nor tensors."""

    name: str


class Request(NamedTuple):
    """One call: the arguments, and which of them are asked for a gradient."""

    arguments: tuple[Any, ...]
    wanted: tuple[int, ...] = ()


@dataclass
class Outcome:
    """What one call did: `value`, and `gradients` where asked, or the name and text of an `error`."""

    value: Any = None
    gradients: Sequence[Tensor] | None = None
    error: str = ""
    text: str = ""
    changed: int = -1  # the argument that is no longer what it was
    drew: str = ""  # the global generator that was used


class TooLate(BaseException):
    """Raised in a thread whose time is over."""


def perform(function: Callable[..., Any], request: Request) -> Outcome:
    """Call a function once. It raises nothing but `TooLate`."""
    live = _revived(request)
    before = [_copy(one) for one in live]
    try:
        value = function(*live)
        gradients = _gradients(value, [live[k] for k in request.wanted]) if request.wanted else None
        models = [one for one in live if isinstance(one, nn.Sequential)]
        value = _copy({"returned": value, "weights": models[0][1].weight.data} if models else value)
    except TooLate:
        raise
    except BaseException as error:
        return Outcome(error=type(error).__name__, text=_where(function, error))
    changed = [k for k, (one, old) in enumerate(zip(live, before, strict=True)) if not _same(one, old)]
    return Outcome(value, gradients, changed=changed[0] if changed else -1)


def perform_all(function: Callable[..., Any], requests: Iterable[Request], outcomes: list[Outcome]) -> None:
    """Call a function for each request, and add what it does to `outcomes`, as far as time allows.

    The global generators are given back as they were; the last outcome tells whether one was used.
    """
    with _global_generators() as drawn, contextlib.suppress(TooLate):
        for request in requests:
            outcomes.append(perform(function, request))
        outcomes[-1].drew = drawn()


def _revived(request: Request) -> list[Any]:
    """Fresh arguments: copies of tensors, and what the marks stand for."""
    live: list[Any] = []
    for k, one in enumerate(request.arguments):
        if isinstance(one, Seed):
            one = torch.Generator().manual_seed(one.value)
        elif isinstance(one, Net):
            layer = nn.utils.skip_init(nn.Linear, one.weight.shape[1], len(one.weight), bias=False)
            layer.weight.data.copy_(one.weight)
            layer.weight.grad = torch.full_like(one.weight, one.stale)
            one = nn.Sequential(nn.Flatten(), layer)
        elif isinstance(one, Sgd):
            one = torch.optim.SGD(live[-1].parameters(), one.rate)
        else:
            one = _copy(one)
        live.append(one.requires_grad_(True) if k in request.wanted else one)
    return live


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {name: _copy(one) for name, one in value.items()}
    return [_copy(one) for one in value] if type(value) in (list, tuple) else value


def _same(one: Any, old: Any) -> bool:
    if isinstance(one, Tensor):
        return one.shape == old.shape and one.dtype == old.dtype and torch.equal(one, old)
    if isinstance(one, Mapping):
        return one.keys() == old.keys() and all(_same(one[name], old[name]) for name in one)
    return True


@contextlib.contextmanager
def _global_generators() -> Iterator[Callable[[], str]]:
    """Yields a function that names the global generator used since; restores all of them at the end."""
    torchs, pythons = torch.get_rng_state(), random.getstate()
    numpy: Any = getattr(sys.modules.get("numpy"), "random", None)
    numpys: Any = numpy.get_state() if numpy else None

    def drawn() -> str:
        if not torch.equal(torchs, torch.get_rng_state()):
            return "torch's"
        if pythons != random.getstate():
            return "Python's"
        after: Any = numpy.get_state() if numpy else None
        return "numpy's" if numpy and (after[2] != numpys[2] or (after[1] != numpys[1]).any()) else ""

    try:
        yield drawn
    finally:
        torch.set_rng_state(torchs)
        random.setstate(pythons)
        if numpy:
            numpy.set_state(numpys)


def _gradients(value: Any, inputs: list[Tensor]) -> tuple[Tensor, ...] | None:
    """Of the sum of all results; zeros where none arrives, None where nothing can be differentiated."""
    parts = [one.sum() for one in (value if isinstance(value, (tuple, list)) else [value]) if _learns(one)]
    if not parts:
        return None
    found = torch.autograd.grad(torch.stack([one.double() for one in parts]).sum(), inputs, allow_unused=True)
    return tuple(torch.zeros_like(i) if g is None else g for g, i in zip(found, inputs, strict=True))


def _learns(one: Any) -> bool:
    return isinstance(one, Tensor) and one.requires_grad


def _where(function: Callable[..., Any], error: BaseException) -> str:
    """The error's text, and the line of the student's own code that it came from."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    with contextlib.suppress(BaseException):  # a student's error may fail to print itself
        return f"{error}"[:300] + (f" (line {lines[-1]} of your code)" if lines else "")
    return ""


def timed(work: Callable[[], Any], seconds: float) -> tuple[bool, str]:
    """Do it in a thread: whether it goes on although its time is over, and what it printed.

    Seconds are those in which the thread computes, where the system tells, so that a busy machine does no
    harm; and at most six times as many on the clock.
    """
    paper, start = _Paper(), time.monotonic()
    with contextlib.redirect_stdout(paper), contextlib.redirect_stderr(paper):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive() and not _over(thread, time.monotonic() - start, seconds):
            thread.join(0.05)
        if thread.is_alive():
            identity = ctypes.c_ulong(thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(TooLate))
            thread.join(0.2)
    return thread.is_alive(), paper.getvalue()


def _over(thread: threading.Thread, clock: float, seconds: float) -> bool:
    if clock < seconds or not hasattr(time, "pthread_getcpuclockid"):
        return clock >= seconds
    try:
        used = time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))
    except OSError:  # it has just ended
        return False
    return used >= 0.8 * seconds or clock >= 6 * seconds or used < 0.02


class _Paper(io.StringIO):
    """Keeps the first thousand characters that are printed."""

    def write(self, text: str) -> int:
        super().write(text[: max(1000 - self.tell(), 0)])
        return len(text)


def accepts(function: Callable[..., Any], count: int) -> str:
    """What is wrong with a function's parameters, or nothing."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*range(count))
    except TypeError:
        return str(signature)
    return ""


# ------------------------------------------------------------------ plain data, to be sent between processes
def pack(value: Any) -> Any:
    """Numbers, tensors, lists and dicts as JSON; anything else by the name of its type only."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return (
            value[:1000] if isinstance(value, str) else value if isinstance(value, bool) else _number(value)
        )
    if isinstance(value, Tensor) and str(value.dtype) in DTYPES:
        dense = value.detach().resolve_conj().resolve_neg().contiguous()
        size = dense.numel() * dense.element_size()
        if size > MOST:
            return {"odd": f"a tensor of {size:,} bytes"}
        data = ctypes.string_at(dense.data_ptr(), size) if size and dense.device.type == "cpu" else b""
        known = [str(dense.dtype), dense.device.type, list(dense.shape), base64.b64encode(data).decode()]
        return {"tensor": known}
    if type(value).__name__ in MARKS and isinstance(value, tuple):
        return {"mark": [type(value).__name__, *map(pack, value)]}
    if isinstance(value, Mapping):
        return {"dict": [[str(name)[:100], pack(one)] for name, one in list(value.items())[:1000]]}
    if isinstance(value, (list, tuple)) and len(value) <= 1000:
        return [pack(one) for one in value]
    return {"odd": type(value).__name__}


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, float) or (value is not None and abs(value) > 2**63) else value


def unpack(value: Any) -> Any:
    """The inverse of `pack`. It makes nothing but plain data, whatever the other side sent."""
    if isinstance(value, list):
        return [unpack(one) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "tensor":
        name, device, shape, data = inner
        if device != "cpu":
            return torch.empty(shape, dtype=DTYPES[name], device="meta")
        raw = bytearray(base64.b64decode(data))
        return (
            torch.frombuffer(raw, dtype=DTYPES[name]).reshape(shape)
            if raw
            else torch.zeros(shape if 0 in shape else 0)
        )
    if kind == "mark":
        return MARKS[inner[0]](*map(unpack, inner[1:]))
    if kind == "dict":
        return {str(name): unpack(one) for name, one in inner}
    return Odd(str(inner))


# ------------------------------------------------------------------------ the grader's other process (Linux)
PRIVATE, READ_ONLY = 0x40000 | 0x4000, 1  # flags of `mount`
SPACES = 0x10000000 | 0x20000 | 0x40000000 | 0x20000000 | 0x8000000  # user, mounts, network, processes, IPC
REFUSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.kill",
    "pty.spawn",
)
WRITES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)


def serve() -> None:
    """Import torch once; then a fresh, confined child for each socket that is sent."""
    config = json.loads(sys.argv[1])
    perform(
        lambda model, optimizer: optimizer.step(), Request((Net(torch.ones(2, 2), 0.0), Sgd(1.0)))
    )  # loads
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=0) as control:
        while True:
            data, files, _, _ = socket.recv_fds(control, 1, 1)
            if not data:
                return
            pid = os.fork()
            if pid == 0:
                try:
                    os.setsid()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _answer(socket.socket(fileno=files[0]), _confined(config))
                finally:
                    os._exit(0)
            os.close(files[0])
            control.sendall(f"{pid:16}".encode())


def _confined(config: dict[str, Any]) -> list[str]:
    """Give up what a notebook must not have; the protections that hold."""
    import resource

    held, libc, ids = [], ctypes.CDLL(None, use_errno=True), (os.getuid(), os.getgid())
    used = Path("/proc/self/statm")  # Linux; elsewhere the limit counts what torch itself takes
    pages = int(used.read_text().split()[0]) if used.exists() else 0
    memory = pages * resource.getpagesize() + config["memory"]
    room = config["room"].encode()
    if libc.unshare(SPACES) == 0:
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
    libc.prctl(38, 1, 0, 0, 0)  # no new privileges, and no capability that is left
    libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6))
    seconds = config["seconds"]
    for what, most in (("AS", memory), ("CPU", seconds), ("FSIZE", 2**24), ("CORE", 0), ("NOFILE", 64)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (most, most))
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    sys.modules["mixlearn"] = None  # type: ignore[assignment]  # so that its import is refused
    sys.addaudithook(lambda event, args: _refuse(event, args, config))
    return held


def _refuse(event: str, args: tuple[Any, ...], config: dict[str, Any]) -> None:
    """A second fence, in Python only: it tells what is refused, and does what it can on other systems."""
    if event.startswith(REFUSED) or event.startswith(WRITES):
        raise PermissionError(f"the grader refuses {event}")
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(args[0]))
        inside = path.startswith((config["room"], os.devnull))
        if (args[2] or 0) & (os.O_WRONLY | os.O_RDWR) and not inside:
            raise PermissionError("the grader refuses to write outside the working folder")
        if path.startswith(tuple(config["hide"])):
            raise PermissionError("the grader hides this file")


def _answer(line: socket.socket, held: list[str]) -> None:
    """Load the notebook's functions, then call them as long as requests come."""
    with line.makefile("rwb") as stream:

        def say(what: Any) -> None:
            stream.write(json.dumps(what).encode() + b"\n")
            stream.flush()

        task = json.loads(stream.readline())
        say(held)
        space, faults = load(task["cells"], list(task["names"]))
        found = {}
        for name, count in task["names"].items():
            if callable(space.get(name)):
                given = accepts(space[name], count)
                found[name] = f"wrong-parameters: got {given}" if given else ""
            else:
                found[name] = f"not-found: {faults.get(name, 'nothing defines it.')}"
        say(found)
        for text in stream:
            asked = json.loads(text)
            with contextlib.redirect_stdout(_Paper()), _global_generators() as drawn:
                for packed in asked["requests"]:
                    outcome = perform(space[asked["name"]], Request(*map(tuple, unpack(packed))))
                    outcome.drew = drawn()
                    say([pack(one) for one in vars(outcome).values()])


def load(cells: list[str], names: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Execute the statements that the functions `names` need, and no others; what failed, by name."""
    space: dict[str, Any] = {"__name__": "answers"}
    faults: dict[str, str] = {}
    statements: list[tuple[ast.stmt, set[str], set[str]]] = []
    for source in cells:
        lines = ["" if one.lstrip()[:1] in ("%", "!") else one for one in source.splitlines()]
        try:
            parsed = ast.parse("\n".join(lines)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            faults |= {name: f"its cell is no Python: {error}" for name in names if f"def {name}(" in source}
            continue
        statements += [(one, *_names(one)) for one in parsed]
    wanted, chosen, before = set(names), set[int](), -1
    while before != len(chosen):
        before = len(chosen)
        for k, (_, binds, uses) in enumerate(statements):
            if k not in chosen and binds & (wanted | {"*"}):
                chosen.add(k)
                wanted |= uses
    for k in sorted(chosen):
        node, binds, _ = statements[k]
        try:
            exec(compile(ast.Module([node], []), "<answers>", "exec"), space)
        except BaseException as error:
            faults |= {name: f"{type(error).__name__}: {error}"[:300] for name in binds}
    return space, faults


def _names(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """The names that a statement binds, and those that it uses."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        binds = {statement.name}
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        binds = {one.asname or one.name.partition(".")[0] for one in statement.names}
    else:
        defined = (ast.FunctionDef, ast.ClassDef)
        binds = {n.name for n in ast.walk(statement) if isinstance(n, defined)}
        binds |= {
            n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
    return binds, {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])["path"]
    serve()
