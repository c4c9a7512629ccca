"""The edge: venues and market data, real and simulated, behind two ports."""
