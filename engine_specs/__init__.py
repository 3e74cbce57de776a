"""The declarative layer: what to build (specs), where it may run (targets) and how (kinds, recipes).

`load` reads specs, `resolve` makes their variants whole, `preflight` judges them by a checkpoint's metadata,
`schema` describes them to editors; `targets`, `kind_facts` and `recipes` are the tables they draw on.
Nothing is imported here, so that `engine_specs.reading.errors` costs a caller nothing else.
"""
