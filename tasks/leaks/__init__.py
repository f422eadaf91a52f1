"""Stage ``leaks``: what looks like the target, or like the future, among the features; told before anything is promoted."""
