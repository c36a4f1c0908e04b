"""What the client tests share: servers to test against, the JVMs, waiting."""
