"""A JupyterLab of its own: a server on this machine with empty settings, a notebook in it, and its kernel."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import BlockingKernelClient

PATIENCE = 120  # seconds until something that should happen counts as not happening
SETTINGS = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
OPTIONS = [
    "--no-browser",
    "--allow-root",
    "--expose-app-in-browser",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--IdentityProvider.token=",
    "--LabApp.extension_manager=readonly",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
]


def first_match(folder: Path, pattern: str, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """The first JSON file of that name that is whole, once it is there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for path in folder.glob(pattern):
            try:
                return dict(json.loads(path.read_text()))
            except ValueError:  # still being written
                pass
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"{pattern} did not appear in {folder}; the server said: {log.read_text()[-3000:]}")


def write_notebook(path: Path, cells: list[str]) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


class Kernel:
    """The kernel behind an open notebook: `kernel("w.lam")` is the value of an expression there."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self.client = BlockingKernelClient()
        self.client.load_connection_info(connection)
        self.client.start_channels()

    def __call__(self, expression: str) -> Any:
        reply = self.client.execute("", user_expressions={"value": expression}, reply=True, timeout=PATIENCE)[
            "content"
        ]["user_expressions"]["value"]
        assert reply["status"] == "ok", reply
        return ast.literal_eval(reply["data"]["text/plain"])

    def until(self, expression: str, wanted: Any) -> None:
        """Wait until an expression has a value: what the page sends takes another way than what we ask."""
        end = time.monotonic() + PATIENCE
        while (found := self(expression)) != wanted:
            assert time.monotonic() < end, f"{expression} is {found!r}, not {wanted!r}"

    def run(self, code: str) -> dict[str, Any]:
        """What came of running code: its status, and the error if there was one."""
        return dict(self.client.execute(code, reply=True, timeout=PATIENCE)["content"])


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Path]]:
    """The address of a JupyterLab whose files lie in `folder / "files"`, and where it notes what runs."""
    places = {f"JUPYTER_{name}": folder / name.lower() for name in SETTINGS}
    files, config = folder / "files", places["JUPYTER_CONFIG_DIR"] / "labconfig"
    for place in (*places.values(), files, config):
        place.mkdir(exist_ok=True, parents=True)
    quiet = {"@jupyterlab/apputils-extension:announcements": True}  # it asks about news, and the network
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": quiet}))
    environment = {
        **os.environ,
        **{name: str(place) for name, place in places.items()},
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    log = folder / "log.txt"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "jupyterlab", *OPTIONS, f"--ServerApp.root_dir={files}"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=folder)
        try:
            runtime = places["JUPYTER_RUNTIME_DIR"]
            yield first_match(runtime, "jpserver-*.json", process, log)["url"], runtime
        finally:
            process.terminate()  # the kernels end with it
            process.wait(30)


def only_kernel(runtime: Path) -> Kernel:
    """The kernel that the one open notebook has started."""
    (connection,) = runtime.glob("kernel-*.json")
    return Kernel(json.loads(connection.read_text()))
