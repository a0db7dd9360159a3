"""How stimuli move a model from one stable state to another, and which state every initial state goes to."""
