"""Surfaces: signed distances of solids as a kind of signal, learned from meshes and solved for from point clouds.

f(p) = 0, grad f(p) = n                 what a cloud of points with normals says, linear in the code
"""
