"""The rows of the pages for those who come from another adapter, each one tried on both adapters."""
