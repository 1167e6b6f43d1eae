"""Helpers of the book: one room per question, and importing the package loads no room.

========================  ==========================================================================
``geometry``              output size, receptive field, parameters and multiply-adds, from formulas
``runtime``               which device, which seed, small or full scale
``claims``                statements that the machine checks
``data``                  where images come from
``downloads``             files from elsewhere, compared with their checksum
``filters``               hand-made kernels, and convolution of a plain 2-D image
``models``                one architecture per file
``training``              fit, evaluate, history, checkpoints; a recipe without a notebook
``activations``           what each layer computes
``architecture``          which operations a network consists of, their costs, and how they are wired
``diagnosis``             can its confidence be believed; does it learn at all
``screening``             how good is a test that says yes or no: ROC, intervals, predictive values
``plots``                 every figure style in one place
``widgets``               the explorers
``exercises``             the checks behind the exercise notebooks
``results``               recorded runs
========================  ==========================================================================
"""

__version__ = "0.1.0"
