"""The sweep service: a queue of seed sweeps behind HTTP, with a page, a reconciler and a durable store."""
