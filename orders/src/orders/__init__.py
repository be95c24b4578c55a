"""The order service: an e-commerce order, from creation to delivery, on Twofold."""
