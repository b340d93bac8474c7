"""Graph -> better graph, or graph -> plan.  One idea a file; `pipeline` lists them in order."""
