"""The demo: sessions of users, what they send and what they get, around one model."""
