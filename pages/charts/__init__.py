"""Charts of facts, as Vega-Lite specifications apart from their data.

``chart`` has what a chart is, and what all of them share: data by column, colours that the colour-blind tell apart,
labels that are cut. The other modules have one function for each chart. A page draws them at the width that it has;
colours of text and lines are those of the page, light or dark.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
