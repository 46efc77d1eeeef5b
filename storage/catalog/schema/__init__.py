"""The tables and views of a store, and the migrations that make them."""
