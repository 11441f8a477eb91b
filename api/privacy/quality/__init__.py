"""How well the model finds what it should: measured on labelled texts, kept, and told."""
