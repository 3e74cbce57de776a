"""The declarative layer: what to build (specs), where it may run (targets) and how (kinds, recipes)."""
