"""Jobs in processes: the runner, warm networks, batches, checks, comparisons."""
