"""What is refused, and in which words: one line a mistake."""

import pytest


def refused(call, words, error=ValueError):
    """The call must raise this error, with these words in it."""
    with pytest.raises(error, match=words):
        call()


def refusals(*cases, by=lambda call: call(), error=ValueError):
    """A test of each case: what `by` is given, the error where it is another than `error`, and the words."""

    @pytest.mark.parametrize("case", cases)
    def check(case):
        *given, words = case
        own = isinstance(given[-1], type) and issubclass(given[-1], Exception)
        refused(lambda: by(*given), words, given.pop() if own else error)

    return check
