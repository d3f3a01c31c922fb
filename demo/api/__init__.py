"""The HTTP API in the form of OpenAI's chat completions."""
