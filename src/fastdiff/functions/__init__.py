"""The kinds of function that can be sampled, one file each, behind one protocol.

A lane is a point and a direction; sampling it at a step s means calling f at the point plus s times the direction.
Nothing outside this package knows how f is called.
"""

from .base import Function, Sampled, is_masked
from .choice import Choice, is_native
from .point import Directions

__all__ = ["Choice", "Directions", "Function", "Sampled", "is_masked", "is_native"]
