"""The gradio page: layout, event handlers, views of the conversation."""
