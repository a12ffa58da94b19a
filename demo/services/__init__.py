"""The servers that the demo and the tests run on: real ones, on loopback, owned by who started them."""
