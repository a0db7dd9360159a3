"""Ising models of recordings beyond `fit_ising`: files, windows, tests, bridges to networks."""

from .bridge import compare_landscapes as compare_landscapes
from .bridge import network_from_ising as network_from_ising
from .bridge import predict_ising as predict_ising
from .bridge import saddle_rates as saddle_rates
from .files import load_ising as load_ising
from .files import save_ising as save_ising
from .fitting import fit_ising_many as fit_ising_many
from .fitting import sliding_windows as sliding_windows
from .significance import bootstrap_ising as bootstrap_ising
from .significance import shuffle_test as shuffle_test
from .validation import cross_validate_ising as cross_validate_ising
from .validation import select_regions as select_regions
