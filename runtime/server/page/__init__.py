"""The page for the people at the line: five screens, hand-written modules, nothing from outside."""
