"""Tests of the client, the commands and `recur up`."""
