"""Removing old backups from a target, and blobs that none of the others needs."""

from server.library.backup import manifest
from server.library.backup.manifest import BACKUPS, MANIFEST, NEEDED, DamagedBackup, Manifest
from server.library.backup.target import Target

# A library of so few blobs may well lose most of them within a day.
HANDFUL = 5


def prune(
    target: Target, newest: Manifest, needed: set[str], *, keep: int
) -> tuple[int, list[str]]:
    """Keep the last `keep` complete backups; how many blobs were removed, and notes on it.

    Older backups that have more than twice the blobs of the newest are spared, with a note: a
    library that has lost most of what it had must not push out the backups that still have it.

    `newest` was made just now and needs the blobs `needed`; the caller holds the claim on the
    target. What a backup that stays may need is never removed: when that cannot be told, no blob
    is. Raises DamagedBackup then, and TargetError.
    """
    found = manifest.folders(target)
    others = [one for one, files in found.items() if MANIFEST in files and one != newest.id]
    old = max(0, len(others) - keep + 1)
    spared = [one for one in others[:old] if _has_more(target, one, newest)]
    kept = spared + others[old:]
    for backup_id, files in found.items():
        if backup_id in kept or backup_id == newest.id:
            continue
        # The manifest first: without it the rest is no backup.
        for name in sorted(files, key=lambda name: name != MANIFEST):
            target.delete(f"{BACKUPS}{backup_id}/{name}")
    extra = set(manifest.present(target)) - needed
    for backup_id in kept if extra else []:
        extra -= _needed(target, manifest.load(target, backup_id))
    for sha256 in extra:
        target.delete(manifest.Blob(0, sha256, 0).path)
    return len(extra), [_note(spared, keep)] if spared else []


def _has_more(target: Target, backup_id: str, newest: Manifest) -> bool:
    try:
        blobs = manifest.load(target, backup_id).blobs
    except DamagedBackup:
        return False
    return blobs > HANDFUL and blobs > 2 * newest.blobs


def _note(spared: list[str], keep: int) -> str:
    return (
        f"Backups older than the last {keep} have more than twice the files of this one and were "
        f"not removed: {', '.join(spared)}. If files are gone on purpose, remove the folders of "
        "these below backups/ yourself."
    )


def _needed(target: Target, one: Manifest) -> set[str]:
    text = b"".join(manifest.read_part(target, one, NEEDED)).decode()
    return {line.partition(" ")[0] for line in text.splitlines()}
