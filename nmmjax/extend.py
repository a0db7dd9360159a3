"""Everything for your own models, terms, stimuli, targets, observables and monitors, under one name.

class Relay(nmm.extend.AbstractModel):
    gain: jax.Array = nmm.extend.parameter(2.0, symbol="g", doc="gain")
    variables = {"x": nmm.extend.Variable("activity")}

    def vector_field(self, t, y, I=0.0):
        return nmm.State(x=-y.x + self.gain * I)
"""

from ._parameter import declared as declared
from ._parameter import parameter as parameter
from ._parameter import parameter_table as parameter_table
from .ensemble.computation import compute_lanes as compute_lanes
from .ensemble.observables import AbstractObservable as AbstractObservable
from .fitting.target import AbstractTarget as AbstractTarget
from .models.base import AbstractModel as AbstractModel
from .models.heterogeneity import AbstractHeterogeneity as AbstractHeterogeneity
from .models.mechanical import AbstractMechanical as AbstractMechanical
from .models.mechanical import AbstractRiccati as AbstractRiccati
from .models.mechanical import Riccati as Riccati
from .models.network import Targeted as Targeted
from .models.state import State as State
from .models.state import Variable as Variable
from .models.stimulus import AbstractStimulus as AbstractStimulus
from .models.terms import AbstractTerm as AbstractTerm
from .monitors.base import AbstractMonitor as AbstractMonitor
from .monitors.base import AbstractStatistic as AbstractStatistic
from .solvers.term import FixedStep as FixedStep
from .solvers.term import PopulationTerm as PopulationTerm
