"""What becomes of results: ratios and verdicts, Markdown tables, SVG plots, pages. Nothing here measures anything."""
