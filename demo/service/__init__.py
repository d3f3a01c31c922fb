"""What the page and the API share, without HTTP: sessions, uploads, conversations, quotas, and the chat service."""
