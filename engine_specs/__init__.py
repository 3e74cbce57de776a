"""The declarative layer: what to build (specs), where it may run (targets) and how (kinds, recipes).

`reading` turns YAML into models, `tables` holds targets, kinds and recipes, `spec` reads specs and resolves
their variants, and `preflight` judges these by a checkpoint's metadata. Nothing is imported here, so that a
caller pays only for the folder that it imports.
"""
