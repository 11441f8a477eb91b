"""What finds personal data by its pattern: Presidio's recognizers run where they can match, and some of our own."""
