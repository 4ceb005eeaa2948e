"""Every image recipe and its counterparts elsewhere: trained alike, judged by one scorer."""
