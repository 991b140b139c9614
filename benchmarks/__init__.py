"""Speed of the implementations, measured behind the tests."""
