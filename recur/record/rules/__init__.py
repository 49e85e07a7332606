"""The challenge's rules as gates that a program checks, from what ran."""
