"""Questions that are asked inside one process, with a server in memory: what an adapter alone costs."""
