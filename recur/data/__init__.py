"""Text to shards to batches: shard files, coprime-stride loader, byte table, corpora, dataset manifest."""
