"""What observing costs, measured against what others charge for it."""
