"""Numbers as a person reads them."""

KB, MB = 1_000, 1_000_000


def count_of(number: int, noun: str) -> str:
    """How many there are: 1 asset, 2 assets."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_of(size: int) -> str:
    """Bytes: 12 bytes, 1.5 KB, 1,200.0 MB."""
    if size < KB:
        return count_of(size, "byte")
    # Not 1,000.0 KB, which is what would be printed from here on.
    return f"{size / KB:.1f} KB" if size < MB - 50 else f"{size / MB:,.1f} MB"
