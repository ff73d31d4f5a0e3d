"""Where machines come from that cost money: what is asked of each provider, and each of them."""
