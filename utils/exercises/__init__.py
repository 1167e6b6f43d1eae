"""The checks behind the exercise notebooks: one module for each chapter, one mechanism for all.

A notebook says ``from utils.exercises import pooling as check`` and, after each task,
``check.max_pool(max_pool)``. :mod:`utils.exercises.core` holds the mechanism.
"""
