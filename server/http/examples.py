"""Bodies to begin with, for the OpenAPI document: by the name of what a route takes."""

from typing import Any

_ASSET, _OTHER = "as_65de0c8f2b7a91d43e10", "as_90ff31ab77c2e4d5061b"
_PROJECT, _SCENE = "pr_58aac1d09e3f4b72a615", "sc_1f0c6de2a9b8457360fd"

EXAMPLES: dict[str, Any] = {
    "AssetChange": {
        "filename": "fox",
        "visibility": "public",
        "project_id": _PROJECT,
        "scene_id": _SCENE,
    },
    "JobRequest": {
        "model": "sample",
        "combine": True,
        "clips": [
            {"prompt": "A fox at dawn", "duration": 2},
            {"prompt": "The fox at dusk", "duration": 2, "from_previous": True},
        ],
    },
    "NewKey": {"name": "player", "scopes": ["read"]},
    "NewProject": {"name": "Fox film"},
    "NewScene": {"name": "Dawn", "status": "draft", "media_asset_id": _ASSET},
    "NewUser": {"name": "Ada", "max_bytes": 10_000_000_000},
    "SceneChange": {"position": 2, "audio_asset_id": _OTHER},
    "Several": {"ids": [_ASSET, _OTHER]},
    "SignIn": {"key": "sk_Zm94ZXMgc2xlZXAgaW4gdGhlIGZpZWxk"},
    "StoreRequest": {"url": "https://example.org/talk.mp4", "reference": "6623f0"},
    "ToDelete": {"ids": [_ASSET, _OTHER], "permanent": False},
    "ToMove": {"ids": [_ASSET, _OTHER], "project_id": _PROJECT, "scene_id": _SCENE},
    "TokenRequest": {"expires_in": 600, "purpose": "review"},
    "UserChange": {"max_assets": 1000, "max_bytes": 10_000_000_000},
}
