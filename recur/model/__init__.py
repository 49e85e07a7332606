"""The network: attention, blocks, depth plan, initialisation, precision policy."""
