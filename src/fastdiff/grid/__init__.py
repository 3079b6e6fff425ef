"""Derivatives of sampled data: stencils slid along the axes of an array, of any order, at the speed of memory."""

from .matrices import matrix
from .operators import curl, derivative, divergence, gradient, hessian, laplacian

__all__ = ["curl", "derivative", "divergence", "gradient", "hessian", "laplacian", "matrix"]
