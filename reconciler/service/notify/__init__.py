"""What the service tells others: forges, people, other programs. It reads the store and decides nothing."""
