"""The buyers' face: pages, JSON, checkout, orders, webhooks."""
