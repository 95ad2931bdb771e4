"""What the pages take from elsewhere: the repository's address, the package's version, the table of results.

In a page's source `@REPOSITORY@` stands for the address set in _config.yml, `@VERSION@` for the package's
version and `@RESULTS@` for the tables made from the run records. The fingerprint is a setting that changes
with the package, the records and the pins (see book/_tools/build.py), so that Sphinx reads every page anew
when one of them has changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

import mixlearn

sys.path.append(str(Path(__file__).parents[1] / "_tools"))


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    text = source[0]
    text = text.replace("@REPOSITORY@", app.config.html_theme_options["repository_url"])
    text = text.replace("@VERSION@", mixlearn.__version__)
    if "@RESULTS@" in text:
        import results

        text = text.replace("@RESULTS@", results.page())
    source[0] = text


def on_config(app: Sphinx, config: Config) -> None:
    config.version = config.release = mixlearn.__version__
    config.html_theme_options["extra_footer"] = (
        f"<p>mixlearn {mixlearn.__version__}. Code: MIT licence. Text and figures: CC BY 4.0.</p>"
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("mixlearn_fingerprint", "", "env")
    app.connect("config-inited", on_config)
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
