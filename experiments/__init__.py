"""The runs behind the book: one setting for each record, and what they are compared with."""
