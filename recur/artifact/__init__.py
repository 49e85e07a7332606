"""The artifact: what a trained model is on disk, byte for byte, and how it is read back."""
