"""What several workers share: the job protocol, records in JSON, the host's GPUs, and how a tool is run."""
