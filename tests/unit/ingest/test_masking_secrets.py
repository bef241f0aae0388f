"""What is named a secret is in no template and in no example."""

import pytest

from pipeline.ingest.masking import example_of, masked


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("login of jo failed, password=hunter", "hunter"),
        ("AWS_SECRET_ACCESS_KEY=abcDEFghi", "abcDEFghi"),
        ("secret_key: abcdef and more", "abcdef"),
        ("pwd=abcdef;x", "abcdef"),
        ("connect to postgres://app:sesame@db/x", "sesame"),
        ("header bearer abc.def", "abc.def"),
        ("Authorization: Token abcdefgh", "abcdefgh"),
        ("Authorization: abcdefgh", "abcdefgh"),
        ('password="open sesame" was wrong', "sesame"),
        ('{"token": "abcdef"}', "abcdef"),
    ],
)
def test_a_secret_is_hidden_in_the_template_and_in_the_example(line: str, secret: str) -> None:
    assert secret not in masked(line, 200)
    assert secret not in example_of(line, 200)


@pytest.mark.parametrize("line", ["12 tests passed: all", "a keyboard was found", "the author: jo"])
def test_other_words_stay(line: str) -> None:
    assert example_of(line, 200) == line
