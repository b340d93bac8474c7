"""The graph: nodes, nothing else.  Types, storage and devices are results of passes, not part of it."""
from .graph import Graph as Graph
from .node import Node as Node
from .node import Value as Value
from .node import apply as apply
from .node import variable as variable
