"""What `scripts/crash` and `scripts/durability` share: a server process, raw clients, a model."""
