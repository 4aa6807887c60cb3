#!/usr/bin/env python3
"""tests/lint/type_names_test.py: scripts/lib/type_names.py refuses two types of one name, and no others."""

import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import type_names  # noqa: E402


class TypeNames(unittest.TestCase):
    def wrong(self, *texts):
        with tempfile.TemporaryDirectory() as folder:
            files = [pathlib.Path(f"{number}.h") for number in range(len(texts))]
            for file, text in zip(files, texts, strict=True):
                (pathlib.Path(folder) / file).write_text(text, encoding="ascii")
            return type_names.problems(type_names.types(files, pathlib.Path(folder)))

    def test_refuses_one_name_for_two(self):
        for first, second in (("class", "class"), ("struct", "enum class"), ("class", "struct")):
            wrong = self.wrong(f"namespace a {{\n{first} Relay {{\n}};\n}}\n", f"namespace b {{\n{second} Relay {{\n}};\n}}\n")
            self.assertEqual(wrong, ["Relay is the name of several types: 0.h:2, 1.h:2"])

    def test_what_is_nested_or_of_one_file_alone_may_be_alike(self):
        nested = "namespace a {\nclass One { struct Row {}; };\nclass Two { enum class Row { kA }; };\n}\n"
        local = "namespace b {\nnamespace {\nstruct Row {};\n}\n}\n"
        self.assertEqual(self.wrong(nested, local, "namespace c { struct Row {}; }\n"), [])

    def test_a_declaration_is_no_second_type(self):
        self.assertEqual(self.wrong("namespace a { class Relay; }\n", "namespace a { class Relay {}; }\n"), [])

    def test_some_are_alike_on_purpose(self):
        self.assertEqual(self.wrong("namespace a { struct Config {}; }\n", "namespace b { struct Config {}; }\n"), [])
        self.assertTrue(type_names.problems({"Konfig": ["a:1", "b:1"]}))


if __name__ == "__main__":
    unittest.main()
