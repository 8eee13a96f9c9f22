"""Which strings of an output are files, and what is known of them before their bytes."""

import base64
import math
import os
from typing import Any

import pytest

from server import json_bounds
from server.providers import data_uri
from server.providers.answers import (
    MOST_METRICS_BYTES,
    AnswerTooLarge,
    read_json,
    to_metrics,
    to_seconds,
    to_units,
)
from server.providers.base import Output, clean
from server.providers.data_uri import MalformedDataUri
from server.providers.files import MOST_FILES, find_files

A, B = "https://r.example/x/a.png", "https://r.example/x/b.mp4"
URI = "data:image/png;base64,QUJD"
MEASURED = {"predict_time": 1.5, "deep": {"a": [1, None]}}


def nested(depth: int, value: Any) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        (A, [A]),
        ([A, B], [A, B]),
        ({"thumbnail": A, "video": B}, [A, B]),
        ({"frames": [[A], {"last": B}], "n": 2}, [A, B]),
        (nested(900, A), [A]),
        ([A, B, A], [A, B]),
        ([A, None, 3, True, 1.5, "", B], [A, B]),
        ({"video": {"url": B, "content_type": "video/mp4", "file_size": 3}, "seed": 7}, [B]),
        ({"images": [{"url": A}, {"url": B}], "prompt": "a fox", "timings": {"t": 1}}, [A, B]),
        ({"image": A}, [A]),
        ({"video": {"url": B, "thumbnail": {"url": A}}}, [B, A]),
        ({"video": {"url": B, "thumbnail_url": A}}, [B, A]),
        ({"url": {"url": A}}, [A]),
        (URI, [URI]),
        ({"video": {"url": URI, "content_type": "video/mp4"}}, [URI]),
        (["data:image/svg+xml;utf8,<svg a='1' />"], ["data:image/svg+xml;utf8,<svg a='1' />"]),
        ("data:,plain", ["data:,plain"]),
        ("HTTPS://R.EXAMPLE/A.PNG", ["HTTPS://R.EXAMPLE/A.PNG"]),
        # As programs print it: with a line break at the end.
        (f"{A}\n", [A]),
        ([f" {A}", f"{A}\r\n", {"url": f"{B}\n"}], [A, B]),
        ([f"{A}\n", "a caption"], [A]),
        (f"\n{URI}\n", [URI]),
        ([f" {URI}", "a caption"], [URI]),
        # Texts, and what is none of ours to fetch.
        ("a fox", []),
        ("see https://r.example/a.png", []),
        ("https://r.example/a.png and more", []),
        ("https://", []),
        ("https:///a.png", []),
        ("http://[x/a.png", []),
        ("http://r.example:99999/a.png", []),
        ("http://r.example:port/a.png", []),
        ("ftp://r.example/a.png", []),
        ("file:///etc/passwd", []),
        ("//r.example/a.png", []),
        ("data: the first, the second", []),
        ("data:", []),
        ("data:image/png;base64", []),
        ("https://r.example/" + "a" * 9000, []),
        (None, []),
        (7, []),
        ({"url": "", "content_type": "image/png"}, []),
        # A language model's tokens: one of them may be a web address.
        (["Look", " at ", "https://r.example/page", "."], []),
        (["https://r.example/page"], ["https://r.example/page"]),
        ([A, "a caption"], [A]),
        ([URI, "a caption"], [URI]),
    ],
)
def test_what_is_a_file(output: Any, urls: list[str]) -> None:
    """A paid file that is not seen vanishes; a text that is taken for one is noise."""
    found = find_files(output, None)
    assert [one.url for one in found.outputs] == urls
    assert [one.position for one in found.outputs] == list(range(len(urls)))
    assert found.left_out == 0


@pytest.mark.parametrize(
    ("output", "content_type"),
    [
        (A, "image/png"),
        (B + "?sig=1#x", "video/mp4"),
        ("https://r.example/x/a", None),
        ("https://r.example/model.glb", "application/octet-stream"),
        (URI, "image/png"),
        ("data:application/zip;base64,QUJD", "application/octet-stream"),
        ("data:;base64,QUJD", None),
        ({"url": A, "content_type": "video/mp4"}, "video/mp4"),
        ({"url": A, "content_type": "Video/MP4; codecs=avc1"}, "video/mp4"),
        ({"url": A, "content_type": "application/octet-stream"}, "image/png"),
        ({"url": "https://r.example/x", "file_name": "b.webm"}, "video/webm"),
        ({"url": "https://r.example/x", "content_type": "model/gltf"}, "application/octet-stream"),
        ({"url": "https://r.example/x", "content_type": 7, "file_name": ["a"]}, None),
        ({"url": "https://r.example/x", "content_type": "no type"}, None),
    ],
)
def test_what_a_file_is_taken_for(output: Any, content_type: str | None) -> None:
    """The clip's main file is known before the bytes, where anything tells it."""
    [one] = find_files(output, None).outputs
    assert one.content_type == content_type


def test_the_number_of_files_has_a_bound() -> None:
    """And what is beyond it is counted, each once."""
    urls = [f"https://r.example/{number}.png" for number in range(MOST_FILES + 5)]
    found = find_files([*urls, urls[-1], urls[0]], None)
    assert [one.url for one in found.outputs] == urls[:MOST_FILES]
    assert found.left_out == 5


@pytest.mark.parametrize(
    ("uri", "data"),
    [
        ("data:image/png;base64,QUJD", b"ABC"),
        ("data:image/png;base64,QUI=", b"AB"),
        ("data:image/png;base64,QUI", b"AB"),
        ("data:image/png;base64,QUI%3D", b"AB"),
        ("data:image/png;base64,QU\r\nI=\n", b"AB"),
        ("data:image/png;base64,-_%2B%2f", base64.b64decode("+/+/")),
        ("data:image/png;charset=x;BASE64,QUJD", b"ABC"),
        ('DATA:text/plain;name="a,b";base64,QUJD', b"ABC"),
        ("data:video/webm;codecs=vp9,opus;base64,QUJD", b"ABC"),
        ("data:video/mp4;codecs=avc1.42E01E, mp4a.40.2;base64,QUJD", b"ABC"),
        ("data:video/webm;codecs=vp9;base64,QUJD", b"ABC"),
        ("data:text/plain;codecs=a,b;c", b"b;c"),
        ("data:,a%20b%00%ff", b"a b\x00\xff"),
        ("data:text/plain;charset=utf-8,ä", "ä".encode()),
        ("data:;base64,", b""),
    ],
)
def test_bytes_of_a_data_uri(uri: str, data: bytes) -> None:
    """RFC 2397, and the ways in which it is bent."""
    assert data_uri.is_one(uri)
    assert b"".join(data_uri.decode(uri)) == data


@pytest.mark.parametrize("text", ["@@@@", "QUJDR", "QQ==QQ==", "Q=Q=", "QUJD=", "ä", "%ff", "QU%"])
def test_damaged_base64_is_told(text: str) -> None:
    """As one kind of error, whatever is wrong with it, and without the bytes in its words."""
    with pytest.raises(MalformedDataUri) as error:
        list(data_uri.decode(f"data:image/png;base64,{text}"))
    assert text not in str(error.value)


@pytest.mark.parametrize("size", [0, 1, 196_607, 196_608, 196_609, 1_000_001])
def test_long_data_uris_are_decoded_in_pieces(size: int) -> None:
    """Whatever falls on the edge of a piece: a line break, an escape, the end."""
    data = os.urandom(size)
    plain = base64.b64encode(data).decode()
    lines = "\r\n".join(plain[at : at + 76] for at in range(0, len(plain), 76))
    escaped = plain.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    percent = "".join(f"%{byte:02x}" for byte in data)
    for text in (f";base64,{plain}", f";base64,{lines}", f";base64,{escaped}", f",{percent}"):
        pieces = list(data_uri.decode(f"data:application/x{text}"))
        assert b"".join(pieces) == data
        assert max(map(len, pieces), default=0) <= 256 * 1024


def test_an_answer_has_bounds() -> None:
    """A model may put a million lists into its output, or nest them beyond the parser."""
    with pytest.raises(AnswerTooLarge):
        read_json(b"[" + b"[]," * json_bounds.ANSWERED + b"[]]")
    for depth in (json_bounds.DEEPEST + 1, 10_000):
        with pytest.raises(AnswerTooLarge):
            read_json(b"[" * depth + b"]" * depth)
    for half in (b"[" * 10_000, b"[" * 9 + b"]" * 10_000, b"[{" * 5_000 + b"]}" * 5_000):
        with pytest.raises(json_bounds.UnmatchedError):
            read_json(half)
    with pytest.raises(ValueError, match="Expecting"):
        read_json(b"<html>")
    assert read_json(b'{"a": [1]}') == {"a": [1]}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (None, None),
        ({}, None),
        ([1], None),
        (MEASURED, MEASURED),
        ({"long": "x" * MOST_METRICS_BYTES, "predict_time": 1.5}, {"predict_time": 1.5}),
        ({"long": "x" * MOST_METRICS_BYTES}, None),
        ({"a": math.inf, "b": [math.nan, 10**400]}, {"a": None, "b": [None, None]}),
        ({"tokens": 2**63 - 1, "more": 2**63}, {"tokens": 2**63 - 1, "more": None}),
    ],
)
def test_metrics_are_kept_as_told_within_a_bound(told: Any, kept: Any) -> None:
    """They are the provider's words about money; a row is no place for megabytes."""
    assert to_metrics(told) == kept


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        *[(1.5, 1.5), (3, 3.0), (0, 0.0)],
        *[(none, None) for none in (None, "3", -1, math.nan, math.inf, 10**400, [1])],
    ],
)
def test_seconds(told: object, seconds: float | None) -> None:
    """A number that can be added up, or nothing: a prediction is not lost for its clock."""
    assert to_seconds(told) == seconds


def test_texts_of_an_answer_can_be_written_down() -> None:
    """Half a surrogate pair is legal JSON, but neither a row nor an answer of ours takes it."""
    told = read_json(rb'{"a": ["\ud83d\ude00 \ud83d", {"\udfff": "https://r.example/\ud800.png"}]}')
    assert told == {"a": ["\U0001f600 \ufffd", {"\ufffd": "https://r.example/\ufffd.png"}]}


@pytest.mark.parametrize(
    ("header", "units"),
    [
        *[("4", 4.0), ("0.25", 0.25), ("0", 0.0)],
        *[(words, None) for words in ("", None, "nan", "inf", "-1", "many")],
    ],
)
def test_units(header: str | None, units: float | None) -> None:
    """A number, or nothing."""
    assert to_units(header) == units


@pytest.mark.parametrize(
    "uri", [URI, "data:image/svg+xml,%3Csvg%3E", "data:text/plain;charset=utf-8;base64,QUJD"]
)
def test_no_file_stands_in_words(uri: str) -> None:
    """Neither in an error that is shown nor in a log."""
    payload = uri.partition(",")[2]
    assert payload not in clean(f"could not read {uri} at all")
    assert payload not in repr(Output(uri))
