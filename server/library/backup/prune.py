"""Removing old backups from a target, and blobs that none of the others needs."""

from server.library.backup import manifest
from server.library.backup.manifest import BACKUPS, MANIFEST, NEEDED, Manifest
from server.library.backup.target import Target


def prune(target: Target, newest: Manifest, needed: set[str], *, keep: int) -> int:
    """Keep the last `keep` complete backups; how many blobs were removed.

    `newest` was made just now and needs the blobs `needed`; the caller holds the claim on the
    target. What a backup that stays may need is never removed: when that cannot be told, no blob
    is. Raises DamagedBackup then, and TargetError.
    """
    found = manifest.folders(target)
    others = [one for one, files in found.items() if MANIFEST in files and one != newest.id]
    kept = others[max(0, len(others) - keep + 1) :]
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
    return len(extra)


def _needed(target: Target, one: Manifest) -> set[str]:
    text = b"".join(manifest.read_part(target, one, NEEDED)).decode()
    return {line.partition(" ")[0] for line in text.splitlines()}
