"""The pure core: what may happen to orders, positions and portfolios. No I/O, clock or chance."""
