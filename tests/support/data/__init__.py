"""Generated inputs of the tests, and the results expected of them."""
