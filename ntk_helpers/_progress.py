"""When a progress bar appears."""

# A progress bar appears when a run has taken this many seconds. The environment variable TQDM_DISABLE=1 turns it off.
PROGRESS_AFTER = 5.0
