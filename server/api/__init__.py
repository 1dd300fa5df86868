"""One blueprint per resource: parse → call the flow → answer."""
