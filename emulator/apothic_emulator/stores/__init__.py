"""What keeps the control plane's state: one interface, several engines."""
