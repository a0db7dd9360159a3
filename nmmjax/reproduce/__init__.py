"""Layer 6: the claims of the paper, each with its figure, its data and a row measured against claimed."""
