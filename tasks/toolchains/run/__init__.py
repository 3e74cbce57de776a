"""Running programs of toolchains: jobs, servers, and the supervisor that lets nothing outlive its owner.

Promises: a program sees only the environment that is named for it; everything it prints is in its log before
anybody reads it; however its owner ends, all of its processes end too.
"""
