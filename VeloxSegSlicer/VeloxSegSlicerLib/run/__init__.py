"""From a click to a result: jobs, batches, samples."""
