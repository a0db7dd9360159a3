"""Coordinates of a population: (r, v), (w, v), (q, p), (q, q̇), the Riccati variable W and the order parameter Z."""

from .mechanics.coordinates import from_kuramoto as from_kuramoto
from .mechanics.coordinates import from_qp as from_qp
from .mechanics.coordinates import from_qqdot as from_qqdot
from .mechanics.coordinates import from_riccati as from_riccati
from .mechanics.coordinates import from_wv as from_wv
from .mechanics.coordinates import to_kuramoto as to_kuramoto
from .mechanics.coordinates import to_qp as to_qp
from .mechanics.coordinates import to_qqdot as to_qqdot
from .mechanics.coordinates import to_riccati as to_riccati
from .mechanics.coordinates import to_wv as to_wv
