#!/usr/bin/env python3
"""tests/lint/lock_check_test.py: scripts/lib/lock_check.py refuses what touches a guarded member without its lock, and looks where locks are."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import lock_check  # noqa: E402

CLASS = """
#include "services/common/base/mutex.h"
namespace stockalert::base {
class Counter {
 public:
  void Add() {
    BODY
  }
 private:
  void AddLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { ++count_; }
  Mutex mutex_;
  ConditionVariable changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};
void Use() { Counter().Add(); }
}
"""


class LockCheck(unittest.TestCase):
    def refusal(self, body):
        """What clang says of a method with this body; empty where it is content."""
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "a.cc"
            source.write_text(CLASS.replace("BODY", body), encoding="ascii")
            command = lock_check.syntax_only(["c++", "-std=c++20", f"-I{ROOT}", "-O1", "-Wall", "-Werror", "-o", "a.o", "-c", str(source)], source)
            return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    def test_takes_what_holds_its_lock(self):
        for body in ("MutexLock lock(mutex_); ++count_;", "MutexLock lock(mutex_); AddLocked();",
                     "MutexLock lock(mutex_); lock.Unlock(); lock.Lock(); ++count_;",
                     "MutexLock lock(mutex_); changed_.Wait(lock, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return count_ > 0; });"):
            self.assertEqual(self.refusal(body), "", body)

    def test_refuses_what_does_not(self):
        for body, reason in (("++count_;", "writing variable 'count_' requires holding mutex 'mutex_'"),
                             ("AddLocked();", "calling function 'AddLocked' requires holding mutex 'mutex_'"),
                             ("MutexLock lock(mutex_); lock.Unlock(); ++count_;", "requires holding mutex 'mutex_'"),
                             ("MutexLock lock(mutex_); MutexLock again(mutex_);", "that is already held"),
                             ("MutexLock lock(mutex_); changed_.Wait(lock, [this] { return count_ > 0; });", "reading variable 'count_'")):
            self.assertIn(reason, self.refusal(body), body)

    def test_looks_where_locks_are(self):
        files = {
            "services/a/inline.h": "void F() { base::MutexLock lock(m); }",
            "services/a/template.h": '#include "services/a/template_inl.h"\n', "services/a/template_inl.h": "base::MutexLock lock(m);",
            "services/a/guarded.h": "int x ABSL_GUARDED_BY(m);", "services/a/plain.h": "int x;",
            "services/a/takes.cc": "base::MutexLock lock(m);", "services/a/guarded.cc": '#include "services/a/guarded.h"\n',
            "services/b/inline.cc": '#include "services/a/inline.h"\n', "services/b/template.cc": '#include "services/a/template.h"\n',
            "services/b/other.cc": '#include "services/a/guarded.h"\n', "services/b/plain.cc": '#include "services/a/plain.h"\n',
            "services/b/own.h": '#include "services/a/inline.h"\n', "services/b/own.cc": '#include "services/b/own.h"\n',
        }
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text, encoding="ascii")
            held = [name for name in files if name.endswith(".cc") and lock_check.holds_locks(root / name, root)]
        self.assertEqual(held, ["services/a/takes.cc", "services/a/guarded.cc", "services/b/inline.cc", "services/b/template.cc", "services/b/own.cc"])


if __name__ == "__main__":
    unittest.main()
