"""The tools that are compared, and the orders that their methods have."""

from .measure import OURS, Tool

PLAIN = [
    Tool(OURS, "simulate", 4),
    Tool("tvboptim Heun, coupling once a step", "tvboptim", 1),
    Tool("tvboptim Heun", "tvboptim", 2, {"per_stage": True}),
    Tool("tvboptim RK4", "tvboptim", 4, {"method": "RungeKutta4", "per_stage": True}),
    Tool("vbjax Heun", "vbjax", 2),
    Tool("vbjax RK4", "vbjax", 4, {"method": "rk4"}),
    Tool("TVB numba", "tvb_numba", 1, most=128),
]
LINEAR = {"buffer_strategy": "preallocated", "history_interpolation": "linear"}
DELAYED = [
    Tool(OURS, "simulate", 4),
    Tool("tvboptim Heun, rounded", "tvboptim", 1, {"buffer_strategy": "preallocated"}),
    Tool("tvboptim Heun", "tvboptim", 2, LINEAR),
    Tool("tvboptim RK4", "tvboptim", 2, {"method": "RungeKutta4", **LINEAR}),
    Tool("vbjax Heun, rounded", "vbjax", 1),
    Tool("TVB numba, rounded", "tvb_numba", 1, most=128),
]
NOISY = [
    Tool(OURS, "simulate", 2),
    Tool(f"{OURS}, order 2", "simulate", 2, {"order": 2}),
    Tool("tvboptim Heun, coupling once a step", "tvboptim", 1),
    Tool("tvboptim Heun", "tvboptim", 2, {"per_stage": True}),
    Tool("vbjax Heun", "vbjax", 2),
    Tool("TVB numba", "tvb_numba", 1, most=128),
]
