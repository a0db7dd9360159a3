"""Noise beyond `boltzmann`, `escape_rate`, `first_passage` and `fit_stationary`: protocols, work, laws from
samples, and what scanners record of small fluctuations."""

from .neuron_noise import neuron_rate as neuron_rate
from .recorded import recorded_connectivity as recorded_connectivity
from .samples import effective_temperature as effective_temperature
from .samples import potential_from_samples as potential_from_samples
from .stationary import stationary_density as stationary_density
from .survival import exponential_fit as exponential_fit
from .thermodynamics import crooks as crooks
from .thermodynamics import jarzynski as jarzynski
from .thermodynamics import run_protocol as run_protocol
