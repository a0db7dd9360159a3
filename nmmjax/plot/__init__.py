"""Layer 6: pictures (extra `plot`). Each function draws on given or new axes and returns them; nothing is shown or saved."""

from .atlases import atlas as atlas
from .burst_runs import bursts as bursts
from .common import shade_stimulus as shade_stimulus
from .planes import ellipse_points as ellipse_points
from .planes import energy_contours as energy_contours
from .planes import orbits as orbits
from .planes import peaks as peaks
from .runs import energy as energy
from .runs import trajectory as trajectory
from .slow_fast_picture import slow_fast as slow_fast
from .sweeps import sweep as sweep
