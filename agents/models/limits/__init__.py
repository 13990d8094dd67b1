"""How much an endpoint is asked: places, retries, a circuit."""
