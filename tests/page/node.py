"""Running the arithmetic of the widgets in node."""

import base64
import json
import shutil
import subprocess

import pytest

from mixlearn.page.host import _IMPORT, _module, _parts


def in_node(modules, body, given=None):
    """Run a function body that may use `js`, what these modules export, and `given`; what it returns."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("the JavaScript of the widgets is tested with node, which was not found")
    needed = dict.fromkeys(part for name in modules for part in _parts(name))
    maths = "".join(_IMPORT.sub("", _module(part)) for part in needed)
    module = "data:text/javascript;base64," + base64.b64encode(maths.encode()).decode()
    script = (
        f'import * as js from "{module}";\nconst given = {json.dumps(given)};\n'
        f"console.log(JSON.stringify((() => {{{body}}})()));"
    )
    done = subprocess.run(
        [node, "--input-type=module"], input=script, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
