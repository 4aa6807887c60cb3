#!/usr/bin/env python3
"""make_xnys_table.py > xnys.txt: the days from Monday to Friday on which the New York exchanges are closed, and those on which they close early, a line
a year.

From the calendar XNYS of the package exchange_calendars (github.com/gerrymanoim/exchange_calendars, Apache License 2.0), which has to be installed; run
by hand.
"""

import datetime
import importlib.metadata
import zoneinfo

import exchange_calendars

FIRST, LAST = datetime.date(1990, 1, 1), datetime.date(2026, 12, 31)


def main() -> None:
    schedule = exchange_calendars.get_calendar("XNYS", start="1989-12-01", end="2027-01-31").schedule
    closes = {day.date(): row["close"].tz_convert(zoneinfo.ZoneInfo("America/New_York")) for day, row in schedule.iterrows()}
    version = importlib.metadata.version("exchange_calendars")
    print(f"# XNYS of exchange_calendars {version} (Apache License 2.0, github.com/gerrymanoim/exchange_calendars), by make_xnys_table.py.")
    print(f"# {FIRST} to {LAST}: year, closed days from Monday to Friday, and early closes with their time in New York.")
    for year in range(FIRST.year, LAST.year + 1):
        words = [str(year)]
        day = datetime.date(year, 1, 1)
        while day.year == year:
            if day not in closes and day.weekday() < 5:
                words.append(f"{day:%m-%d}")
            elif day in closes and closes[day].hour != 16:
                words.append(f"{day:%m-%d}@{closes[day]:%H:%M}")
            day += datetime.timedelta(days=1)
        print(*words)


if __name__ == "__main__":
    main()
