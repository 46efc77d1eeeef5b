"""Selections: which stored rows a training batch is made of.

A selection is a value; what it draws is a function of the rows, how often each was delivered to this run, the number
asked for, and the generator. The same four give the same positions, on any machine, in any process. A batch never has
a row twice. A selection that cannot fill a batch gives what it has: ``available`` says beforehand how many that is, so
that the caller builds more, ends, or reports, as its kind of training demands.

Positions are int64 indices into the rows, which are in the history's order (iteration, event, sampler, chunk, row), so
that ties are decided by it: of two rows with one reward the earlier one is the better.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
