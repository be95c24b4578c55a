"""The stores: one room each, none of which knows of the folds."""
