"""What a reader sees: figures with words for those who do not see them, and widgets."""
