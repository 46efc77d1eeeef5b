"""Charts of facts, as Vega-Lite specifications with separate data.

``chart`` has the record of a chart, and the functions that all charts share: data by column, colours that colour-blind
people can tell apart, shortened labels. The other modules have one function for each chart. A page draws a chart at its
own width, and sets the colours of text and lines, light or dark.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
