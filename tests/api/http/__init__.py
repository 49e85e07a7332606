"""The interface, over HTTP."""
