"""Forces, powers and damping, energies of whole networks, the field rebuilt from the energy, changes of scale and clock."""

from .energy import conservative_field as conservative_field
from .energy import damping as damping
from .energy import exchange_power as exchange_power
from .energy import force as force
from .energy import hamiltonian_field as hamiltonian_field
from .energy import heat_rate as heat_rate
from .energy import mechanical_residual as mechanical_residual
from .energy import port_power as port_power
from .energy import pump_power as pump_power
from .energy import received_power as received_power
from .energy import slow_power as slow_power
from .energy import stored_energy as stored_energy
from .hopf_points import hopf_coupling as hopf_coupling
from .hopf_points import pair_hopf_coupling as pair_hopf_coupling
from .network_powers import network_energy as network_energy
from .network_powers import network_power as network_power
from .network_powers import synaptic_store as synaptic_store
from .scaling import RescaledTime as RescaledTime
from .scaling import rescale as rescale
from .scaling import strong_coupling as strong_coupling
from .scaling import unit_heterogeneity as unit_heterogeneity
