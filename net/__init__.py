"""The edge to the network: Trio, sockets, processes."""
