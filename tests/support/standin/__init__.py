"""Stand-ins of tools and drivers that cannot run here, as strict as the tables of their interfaces."""
