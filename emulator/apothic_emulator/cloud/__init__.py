"""Where what the core decides about rented machines is carried out."""
