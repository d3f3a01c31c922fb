"""Grammar of requests for edits: words, productions of parts and of time, and the reader that applies them."""
