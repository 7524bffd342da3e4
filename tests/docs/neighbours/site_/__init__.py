"""A site in Django, as the programs in the documentation import it."""
