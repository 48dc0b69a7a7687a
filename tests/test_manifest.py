"""What a record says about text that is none."""

import pytest
from pydantic import ValidationError

from vipx.manifest import CameraRecord, Record, first_fault


class Frames(Record):
    cameras: tuple[CameraRecord, ...]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"cameras": [{"height": 1}]}', "cameras.0.width: Field required"),
        ('{"cameras": [], "more": 1}', "more: Extra inputs are not permitted"),
        ("[]", "the file: Input should be an object"),
    ],
)
def test_the_first_fault_is_one_line_and_says_where(text: str, fault: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Frames.model_validate_json(text)
    assert first_fault(caught.value) == fault
