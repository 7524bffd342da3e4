"""What becomes of results: Markdown tables, SVG plots, pages."""
