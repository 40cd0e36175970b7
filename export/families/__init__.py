"""A folder for each framework: everything known of it, behind one interface."""
