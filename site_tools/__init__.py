"""What makes a site of `docs/`: hooks of MkDocs, the theme's own block, and pictures of the result to look at."""
