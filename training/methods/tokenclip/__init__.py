"""TokenCLIP-R: a reconstruction of TokenCLIP (arXiv 2510.21171) from its abstract; not the authors' code."""
