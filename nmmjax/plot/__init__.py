"""Layer 6: pictures (extra `plot`). Each function draws on given or new axes and returns them; nothing is shown or saved."""

from .atlases import atlas as atlas
from .bifurcations import bifurcation as bifurcation
from .bifurcations import bifurcation_curves as bifurcation_curves
from .burst_runs import bursts as bursts
from .common import shade_stimulus as shade_stimulus
from .fits import fit as fit
from .fits import posterior as posterior
from .fits import profile as profile
from .fits import recovery as recovery
from .landscapes import animate_landscape as animate_landscape
from .landscapes import disconnectivity as disconnectivity
from .landscapes import landscape as landscape
from .phase_planes import phase_plane as phase_plane
from .planes import ellipse_points as ellipse_points
from .planes import energy_contours as energy_contours
from .planes import orbits as orbits
from .planes import peaks as peaks
from .runs import energy as energy
from .runs import trajectory as trajectory
from .slow_fast_picture import slow_fast as slow_fast
from .sweeps import sweep as sweep
from .transitions import basins as basins
from .transitions import strength_duration as strength_duration
from .transitions import switch as switch
