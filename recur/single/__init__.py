"""One seed in one program, without Ray, attempts or records: what the one-file script (`recur.record.bundle`) is made of."""
