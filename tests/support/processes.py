"""What the kernel tells of the processes of this machine."""

import os
import pathlib


def read_processes() -> dict[int, tuple[int, float]]:
    """Of every process its parent and its CPU time in seconds, with that of children which have ended: a database's connections."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # It ended just now.
        found[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"))
    return found


def family(pid: int, processes: dict[int, tuple[int, float]] | None = None) -> list[int]:
    """A process and all that it has started, however often removed: Postgres' children have sessions of their own."""
    processes = processes or read_processes()
    found = [pid]
    for one in found:
        found += [child for child, (parent, _) in processes.items() if parent == one]
    return found


def cpu_s(pid: int) -> float:
    """The CPU time of a process and of all that it has started."""
    processes = read_processes()
    return sum(processes[one][1] for one in family(pid, processes) if one in processes)
