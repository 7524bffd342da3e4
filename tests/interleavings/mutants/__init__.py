"""Code with faults, and real code made wrong: what the explorer must find. Executed as copies only (`points`)."""
