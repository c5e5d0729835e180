"""Ways to a sparse code, one a file. A solver is a frozen dataclass of its own knobs with one method, `solve`."""

from nidcli.solvers.adam import Adam
from nidcli.solvers.conjugate import ConjugateGradient
from nidcli.solvers.fista import Fista, lambda_max
from nidcli.solvers.irls import Irls
from nidcli.solvers.map import Map
from nidcli.solvers.omp import Omp
from nidcli.solvers.ridge import Ridge

SOLVERS = {"omp": Omp, "fista": Fista, "ridge": Ridge, "map": Map, "irls": Irls, "cg": ConjugateGradient, "adam": Adam}

__all__ = ["SOLVERS", "Adam", "ConjugateGradient", "Fista", "Irls", "Map", "Omp", "Ridge", "lambda_max"]
