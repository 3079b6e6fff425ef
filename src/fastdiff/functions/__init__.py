"""The kinds of function that can be sampled, one file each, behind one protocol.

A lane is a point and a direction; sampling it at a step s means calling f at the point plus s times the direction.
Nothing outside this package knows how f is called.
"""

from .base import Function, Sampled
from .elementwise import Elementwise
from .point import Directions, PointFunction
from .vectorized import VectorizedFunction

__all__ = ["Directions", "Elementwise", "Function", "PointFunction", "Sampled", "VectorizedFunction"]
