"""Real servers on 127.0.0.1 (S3, Hub, Prefect, the stack), what stands before them, and what visits them."""
