"""The claims of the paper, each with its figure, its data and a row measured against claimed."""
