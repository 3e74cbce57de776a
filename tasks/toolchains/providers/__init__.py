"""How a host comes to have toolchains: providers behind one interface, and the registry that lists them."""
