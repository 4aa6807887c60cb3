#!/usr/bin/env python3
"""tests/lint/function_length_test.py: scripts/lib/function_length.py refuses a function of 71 lines."""

import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import function_length  # noqa: E402


def function(head, lines, tail="}\n"):
    """A function of so many lines."""
    return head + " {\n" + "  F();\n" * (lines - 2) + tail


class FunctionLength(unittest.TestCase):
    def measured(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.cc"
            path.write_text(text, encoding="ascii")
            return [(line, name, lines) for _, line, name, lines in function_length.functions([path])]

    def test_measures_functions_and_methods(self):
        text = ("namespace x {\nnamespace {\n" + function("void Free()", 70) + "}\n" + function("int Class::Method(int a,\n  int b) const", 71)
                + "struct Outer { " + function("void Inside()", 72) + "};\n}\n")
        self.assertEqual(sorted(name_lines[1:] for name_lines in self.measured(text)), [("Class::Method", 72), ("Free", 70), ("Outer::Inside", 72)])

    def test_a_lambda_is_a_part_of_its_function(self):
        text = "void Long() {\n  const auto f = [&](int a) {\n" + "    G(a);\n" * 80 + "  };\n  f(1);\n}\n"
        self.assertEqual([name for _, name, _ in self.measured(text)], ["Long"])

    def test_a_test_case_is_none_but_what_stands_beside_it_is(self):
        text = function('TEST_CASE("it works")', 90) + function("void Prepare()", 80) + function('TEST_CASE("and again")', 90)
        self.assertEqual([name for _, name, _ in self.measured(text)], ["Prepare"])

    def test_refuses_71_lines_and_no_70(self):
        self.assertEqual(function_length.problems([("services/a.cc", 3, "A::B", 70)]), [])
        wrong = function_length.problems([("services/a.cc", 3, "A::B", 71)])
        self.assertEqual(len(wrong), 1)
        self.assertIn("services/a.cc:3: A::B has 71 lines", wrong[0])


if __name__ == "__main__":
    unittest.main()
