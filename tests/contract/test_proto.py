"""The reader of `proto/` refuses what no test would compare."""

import pytest

from tests.contract import proto

HEAD = 'syntax = "proto3";\npackage estafette.v1;\n'


def test_fields_are_read_with_numbers_types_and_comments() -> None:
    text = HEAD + "// One.\n// Two.\nmessage A {\n  string a = 1;  // Required.\n  optional int64 b = 2;\n}\n"

    (message,) = proto.parse(text).messages

    assert message.name == "A"
    assert message.comment == "One. Two."
    assert message.fields == (
        proto.Field(1, "a", "string", False, "Required."),
        proto.Field(2, "b", "int64", True, ""),
    )


def test_a_reserved_number_keeps_its_place() -> None:
    (message,) = proto.parse(HEAD + "message A { string a = 1; reserved 2;  // Was b.\n bool c = 3; }").messages

    assert [field.name for field in message.fields] == ["a", "reserved_2", "c"]
    assert message.fields[1] == proto.Field(2, "reserved_2", "reserved", True, "Was b.")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("message A { string a = 1; }", "'message' where syntax"),
        ('syntax = "proto2";', "proto3"),
        (HEAD + "message A { string a = 2; }", "number 2 at place 1"),
        (HEAD + "message A { string a = 1; string b = 3; }", "number 3 at place 2"),
        (HEAD + "message A { string a = 1; string b = 1; }", "number 1 at place 2"),
        (HEAD + "message A { string a = 1; string a = 2; }", "twice"),
        (HEAD + "message A { float a = 1; }", "type float"),
        (HEAD + "message A { repeated string a = 1; }", "type repeated"),
        (HEAD + "message A { google.protobuf.Struct a = 1; }", "type google.protobuf.Struct"),
        (HEAD + "message A { oneof a { string b = 1; } }", "type oneof"),
        (HEAD + "message A { message B { } }", "type message"),
        (HEAD + "message A { string camelCase = 1; }", "camelCase"),
        (HEAD + "message A { string a = 1 [deprecated = true]; }", r"'\['"),
        (HEAD + "message A { string a = 1; reserved 2; }", "say what number 2 was"),
        (HEAD + "message A { string a = 1;", "ends early"),
        (HEAD + "enum A { B = 0; }", "'enum' where message"),
        (HEAD + "/* no */", "'/' is not known"),
    ],
)
def test_what_the_contract_does_not_use_is_refused(text: str, fault: str) -> None:
    with pytest.raises(proto.Fault, match=fault):
        proto.parse(text)
