"""Every plot (`plots`) and picture grid (`pictures`): for people, from files."""
