"""A command whose main thread is in a library that does not return, as signals find it; it says when it is there."""

import ctypes
import threading

from molbuffer.flows.cli.common import interruptions

interruptions.SECONDS_TO_END = 0.5
with interruptions.ends_on_signals():
    threading.Timer(0.1, print, ["there"], {"flush": True}).start()
    # A lock that this thread holds already: the call lets other threads run, and no signal ends it.
    lock = ctypes.create_string_buffer(256)
    ctypes.CDLL(None).pthread_mutex_lock(lock)
    ctypes.CDLL(None).pthread_mutex_lock(lock)
