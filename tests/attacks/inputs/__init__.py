"""What is sent, by class. Only data: who sends it and what must come of it is in the tests beside."""
