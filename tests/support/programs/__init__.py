"""Programs as users start them: the command line, builds, the main job, and the processes that they leave."""
