"""The demo: sessions of users, what they send and what they get, around one model."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # gradio would send statistics of use; it reads this when it is imported
