//! Where deliveries leave: HTTP, SMTP, standard output.
