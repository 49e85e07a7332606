"""Thin entry scripts; the work lives in recur/ and cluster/."""
