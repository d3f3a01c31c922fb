"""Pipeline that turns recordings, pictures and clips into the published data sets: sources, filters, captions, instructions, export."""
