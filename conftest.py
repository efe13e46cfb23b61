"""Settings of every test process; pytest reads this file before it starts any."""

import os

# Threads of several processes wait for each other and make a step many times slower, so each
# process computes with one. Test workers and notebook kernels inherit this, and torch reads it
# when it is imported; a value that was set on purpose stays.
os.environ.setdefault("OMP_NUM_THREADS", "1")
