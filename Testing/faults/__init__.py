"""Faults on purpose: every door of the engine, the panel and training is given damaged things, and each outcome is judged.

    python -m Testing.faults --seed 1 --count 1000          from the root of the repository; ends with a table

`verdicts.py` holds the judge, `workshop.py` what is damaged, `damage.py` how, and each other file the faults of one subject.
"""
