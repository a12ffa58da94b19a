"""What runs in the plan task: the request, the listing, the manifest and its shards, the estimate, re-drives."""
