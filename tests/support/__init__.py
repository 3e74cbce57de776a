"""What tests share, with a room for each concern. Nothing outside the tests imports it."""
