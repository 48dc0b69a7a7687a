"""How good a checkpoint or a bundle is: its metrics on a dataset, and reports that people can look at."""
