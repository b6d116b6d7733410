"""A harness that damages files on purpose: what reads them must succeed or say in one message what is wrong.

- ``mutate_bytes.py``, ``mutate_trees.py``, ``mutate_tables.py``, ``mutate_media.py``: damage, drawn from a seed;
- ``subject.py``: what is damaged and what reads it, a class for each kind of file in ``subjects/``;
- ``runner.py``: runs the reader in a process with limits and says how it ended.

``tests/robustness/test_damage.py`` runs some of it in every test run and all of it under ``-m slow``;
``python tests/robustness/count.py`` prints the counts as a table.
"""
