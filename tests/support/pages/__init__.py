"""Report pages of generated data, as the tests of pages read them."""
