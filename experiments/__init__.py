"""The runs behind the book: one setting for each record, and what they are compared with."""

import mixlearn.data  # noqa: F401  (comes first, as long as it looks into experiments.data itself)
