"""One catalogue of texts for each language; `tests/explain/test_words.py` sees to it that they have the same keys and
placeholders."""
