"""Executes the notebooks of the book ahead of Sphinx, several at a time, into the cache that Sphinx reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

MOST = 4  # at a time: each holds torch and its data in memory


def waiting(paths: Sequence[Path], cache: Path) -> list[Path]:
    """The notebooks whose code the cache does not hold as it stands.

    Args:
        paths: of notebooks.
        cache: folder of a jupyter-cache.
    """
    import nbformat
    from jupyter_cache import get_cache

    known, found = get_cache(str(cache)), []
    for path in paths:
        try:
            known.match_cache_notebook(nbformat.read(str(path), as_version=4))
        except KeyError:
            found.append(path)
    return found


def ahead(
    paths: Sequence[Path],
    cache: Path,
    timeout: int,
    workers: int | None = None,
) -> Iterator[tuple[Path, float | None]]:
    """Execute what is waiting. One that fails is left to Sphinx, which tries again and tells why.

    Args:
        paths: of notebooks.
        cache: folder of a jupyter-cache.
        timeout: seconds that a cell may take.
        workers: at a time; None takes one a core, four at most.

    Yields:
        Each path with the seconds that its cells took, None where one failed.
    """
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    left = waiting(paths, cache)
    workers = min(workers or os.cpu_count() or 1, MOST, max(1, len(left)))
    if (
        workers > 1
    ):  # kernels inherit it: more threads than cores only wait for one another
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    known = get_cache(str(cache))
    with ProcessPoolExecutor(workers) as pool:
        jobs = {pool.submit(_execute, path, timeout): path for path in left}
        for job in as_completed(jobs):
            path, (notebook, seconds) = jobs[job], job.result()
            if seconds is not None:
                bundle = CacheBundleIn(
                    notebook, str(path), data={"execution_seconds": seconds}
                )
                known.cache_notebook_bundle(
                    bundle, check_validity=False, overwrite=True
                )
            yield path, seconds


def _execute(path: Path, timeout: int) -> tuple[Any, float | None]:
    """The executed notebook and its seconds; in a process of its own."""
    import nbformat
    from jupyter_cache.executors.utils import single_nb_execution

    notebook = nbformat.read(str(path), as_version=4)
    done = single_nb_execution(
        notebook, cwd=str(path.parent), timeout=timeout, allow_errors=False
    )
    return notebook, None if done.err is not None else done.time
