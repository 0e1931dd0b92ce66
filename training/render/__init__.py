"""Documents as pictures, and what stands in them."""
