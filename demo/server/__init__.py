"""The HTTP server: the app, access control, media routes, and the patches of gradio and uvicorn."""
