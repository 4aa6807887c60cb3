#!/usr/bin/env python3
"""scripts/lib/guide_pictures.py [--check]: draws the pictures of docs/guide.md, docs/guide/*.svg.

Each picture is followed in the page by the command that sets its alert. The prices are here; where the alert triggers is not: the stream of both
goes through scripts/semantics, which runs the evaluator's own classes. --check: exit 1 where a picture is not current.
"""

import decimal
import json
import pathlib
import re
import shlex
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guide.md"
D = decimal.Decimal
# A minute apart. The alert is set after the first one.
PRICES = {
    "above": "194 196 195 198 197 199 201 203 202 199 198 202",
    "crosses": "194 196 199 201 203 201 200 199 196 198 200 202",
    "up": "200 203 201 206 209 208 211 214 218 217 220 223",
    "window": "200 201 202 203 204 205 206 207 206 209 215 216",
    "trailing": "200 206 212 209 218 224 220 230 226 222 218 215",
    "enters": "208 205 207 203 201 198 196 193 188 186 191 195",
    "leaves": "196 199 194 197 202 199 196 204 207 208 206 203",
    "again": "195 198 200.5 199.5 200.2 199.2 200.4 198 196.5 198.5 199.4 201",
}
BEGIN_US = 1_741_271_400_000_000  # 2025-03-06, 9:30 in New York.
MINUTE_US = 60_000_000
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 190, 16, 136, 30, 18
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .price { fill: none; stroke: #57606a; stroke-width: 1.5; }
  .dot { fill: #57606a; }
  .bound { fill: none; stroke: #0969da; stroke-width: 1.5; stroke-dasharray: 5 4; }
  .bound-text { fill: #0969da; }
  .set { stroke: #8c959f; stroke-dasharray: 2 3; }
  .trigger { fill: #cf222e; }
  .trigger-text { fill: #cf222e; font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #adbac7; } .price { stroke: #adbac7; } .dot { fill: #adbac7; }
    .bound { stroke: #6cb6ff; } .bound-text { fill: #6cb6ff; } .set { stroke: #768390; }
    .trigger { fill: #ff7b72; } .trigger-text { fill: #ff7b72; }
  }
"""

# What a command or a condition gives, by name.
Given = dict[str, str]


def sections(text: str) -> dict[str, str]:
    """{picture: the command below it} of the page."""
    found = dict(re.findall(r"^!\[[^\]]+\]\(guide/(\w+)\.svg\)\n\n(?:[^\n#`]+\n\n)*?```sh\n(.*?)```$", text, re.MULTILINE | re.DOTALL))
    if set(found) != set(PRICES):
        raise SystemExit(f"docs/guide.md has pictures with a command for {sorted(found)}, and there are prices for {sorted(PRICES)}")
    others = set(re.findall(r"^```sh\n(.*?)```$", text, re.MULTILINE | re.DOTALL)) - set(found.values())
    if others:
        raise SystemExit(f"docs/guide.md has commands without a picture: {others}")
    return found


def options(command: str) -> Given:
    """The options of the first `stockalert alert create`, by name."""
    words = shlex.split(command.splitlines()[0], comments=True)
    if words[:3] != ["stockalert", "alert", "create"]:
        raise SystemExit(f"docs/guide.md: not a command that sets an alert: {command}")
    return {name.removeprefix("--"): value for name, value in zip(words[4::2], words[5::2])}


def measure(value: str) -> Given:
    return {"percent": value[:-1]} if value.endswith("%") else {"amount": value}


def condition(given: Given) -> dict[str, Any]:
    for op in ("at_or_above", "at_or_below", "crosses"):
        if op in given:
            return {"kind": "target", "op": op.upper(), "price": given[op]}
    for op in ("up", "down", "either"):
        if op in given:
            change = {"kind": "percent", "op": op.upper(), "percent": given[op].rstrip("%"), "reference": "ARMING"}
            if "window" in given:
                change.update(reference="WINDOW", window_us=int(given["window"].removesuffix("m")) * MINUTE_US)
            return change
    for op in ("falls_from_high", "rises_from_low"):
        if op in given:
            return {"kind": "trailing", "op": op.upper(), **measure(given[op])}
    for op in ("enters", "leaves"):
        if op in given:
            low, high = given[op].split(":")
            return {"kind": "channel", "op": op.upper(), "low": low, "high": high}
    raise SystemExit(f"no condition in {given}")


def triggers(given: Given, prices: list[str]) -> list[int]:
    """At which of the prices the alert triggers."""
    quotes = [{"op": "quote", "symbol": "AAPL", "price": price, "time": BEGIN_US + place * MINUTE_US, "session": "REGULAR", "offset": 2 * place}
              for place, price in enumerate(prices)]
    create = {"op": "create", "id": "a", "symbol": "AAPL", "condition": condition(given), "policy": given.get("policy", "once").upper(),
              "hysteresis": given.get("hysteresis", "0")}
    stream = "".join(json.dumps(event) + "\n" for event in [quotes[0], create, *quotes[1:]])
    told = subprocess.run([ROOT / "scripts" / "semantics"], input=stream, capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in told.splitlines()]
    if any("rejected" in line for line in lines):
        raise SystemExit(f"an alert of docs/guide.md is refused: {told}")
    return [line["offset"] // 2 for line in lines if "trigger" in line]


def bounds(given: Given, prices: list[str], fired: list[int]) -> list[tuple[str, list[decimal.Decimal]]]:
    """The lines that prices are measured by: [(words, [height or None at each price])]."""
    prices = [D(price) for price in prices]
    kind = condition(given)
    if kind["kind"] == "target":
        lines = [(f"{kind['op'].lower().replace('_', ' ')} {kind['price']}", [D(kind["price"])] * len(prices))]
        if "hysteresis" in given:
            lines.append((f"hysteresis {given['hysteresis']}", [D(kind["price"]) - D(given["hysteresis"])] * len(prices)))
        return lines
    if kind["kind"] == "channel":
        return [(kind[side], [D(kind[side])] * len(prices)) for side in ("high", "low")]
    # Of what triggered its own price is the new reference, behind it.
    heights, begin = [], 0
    for place in range(len(prices)):
        since = prices[begin:place + 1]
        if kind["kind"] == "trailing":
            heights.append(max(since) * (1 - D(kind["percent"]) / 100))
        elif kind["reference"] == "WINDOW":
            minutes = kind["window_us"] // MINUTE_US
            heights.append(min(prices[max(begin, place - minutes):place + 1]) * (1 + D(kind["percent"]) / 100))
        else:
            heights.append(since[0] * (1 + D(kind["percent"]) / 100))
        if place in fired:
            begin = place
    words = {"trailing": "below the high", "percent": "up" if kind.get("reference") == "ARMING" else "in 5 minutes"}[kind["kind"]]
    return [(f"{kind['percent']} % {words}", heights)]


def draw(given: Given, prices: list[str], fired: list[int]) -> str:
    lines = bounds(given, prices, fired)
    if given.get("policy", "once") == "once" and fired:
        lines = [(words, heights[:fired[0] + 1]) for words, heights in lines]
    shown = [D(price) for price in prices] + [height for _, heights in lines for height in heights]
    low, high = min(shown), max(shown)

    def x(place: int) -> float:
        return round(LEFT + place * (WIDTH - LEFT - RIGHT) / (len(prices) - 1), 1)

    def y(price: str) -> float:
        return round(float(TOP + (high - D(price)) * (HEIGHT - TOP - BOTTOM) / (high - low)), 1)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">', f"<style>{STYLE}</style>"]
    set_x = round((x(0) + x(1)) / 2, 1)
    out.append(f'<line class="set" x1="{set_x}" y1="{TOP - 12}" x2="{set_x}" y2="{HEIGHT - BOTTOM}"/><text x="{set_x - 10}" y="{TOP - 17}">set here</text>')
    for words, heights in lines:
        points = [(x(0) if place == 0 else round((x(place - 1) + x(place)) / 2, 1), height) for place, height in enumerate(heights)]
        path = "".join(f"{'M' if place == 0 else 'H'}{at}" + (f" {y(height)}" if place == 0 else f"V{y(height)}") for place, (at, height) in enumerate(points))
        out.append(f'<path class="bound" d="{path}H{x(len(heights) - 1) + 8}"/>')
        out.append(f'<text class="bound-text" x="{x(len(prices) - 1) + 14}" y="{y(heights[-1]) + 4}">{words}</text>')
    out.append('<polyline class="price" points="' + " ".join(f"{x(place)},{y(price)}" for place, price in enumerate(prices)) + '"/>')
    for place, price in enumerate(prices):
        if place not in fired:
            out.append(f'<circle class="dot" cx="{x(place)}" cy="{y(price)}" r="2.5"/>')
    for place in fired:
        under = D(prices[place]) < D(prices[place - 1])
        out.append(f'<circle class="trigger" cx="{x(place)}" cy="{y(prices[place])}" r="5.5"/>')
        out.append(f'<text class="trigger-text" text-anchor="middle" x="{x(place)}" y="{y(prices[place]) + (20 if under else -10)}">{prices[place]}</text>')
    return "\n".join([*out, "</svg>", ""])


def main() -> int:
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__)
        return 2
    bad = 0
    for name, command in sections(PAGE.read_text(encoding="utf-8")).items():
        given, prices = options(command), PRICES[name].split()
        picture = draw(given, prices, triggers(given, prices))
        path = PAGE.parent / "guide" / f"{name}.svg"
        if not sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(picture, encoding="ascii")
        elif not path.exists() or path.read_text(encoding="ascii") != picture:
            print(f"{path.relative_to(ROOT)} is not current: run scripts/lib/guide_pictures.py")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
