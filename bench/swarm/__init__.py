"""Many agents' sessions in one process, as cheap as Python allows, so that the broker is what is measured."""
