//! Every seam on local disk: one fjall database, no server.
