"""What a single value of a table means: a category's level, a moment, a class. Files and the service read alike."""
