"""What people open: the pages, the reports and the pictures in them."""
