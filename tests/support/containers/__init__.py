"""What the tests of containers use."""
