"""What touches several nouns in one transaction: taking bytes in, giving space back."""
