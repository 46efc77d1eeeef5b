"""Selections: the rules that choose the stored rows of a training batch.

A selection is a value. The rows that it draws are a function of the rows, how often each was delivered to this run, the
requested number, and the generator: the same four give the same positions on any machine and in any process. A batch
never has a row twice. A selection that cannot fill a batch draws fewer rows: ``available`` returns this number
beforehand, so that the caller can build more rows, end, or report an error.

Positions are int64 indices into the rows, which are in the history's order (iteration, event, sampler, chunk, row).
This order decides ties: of two rows of equal reward, the earlier one ranks higher.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
