"""Applications of other frameworks and ages, behind the whole stack."""
