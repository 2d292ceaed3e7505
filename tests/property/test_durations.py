"""Durations, as Go's time.ParseDuration reads them: the program's first tick after 1970 is the interval itself."""

import datetime as dt
import re

import pytest

UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
MAX = 2**63 - 1
MIN_NS = 10**6
PART = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)")


def go(text):
    """The algorithm of Go 1.22's ParseDuration, with its rounding; None: refused."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text[1:] if text[:1] == "+" else text)
    if rest == "0":
        return 0
    if not rest:
        return None
    total = 0
    while rest:
        part = PART.match(rest)
        if part is None or not (part[1] or part[2]):
            return None
        value = int(part[1] or "0")
        unit = UNITS[part[3]]
        if value > 2**63 // unit:
            return None
        value *= unit
        if part[2]:
            fraction, scale = 0, 1.0
            for digit in part[2]:
                if fraction > (2**63 - 1) // 10 or fraction * 10 + int(digit) > 2**63:
                    break
                fraction, scale = fraction * 10 + int(digit), scale * 10
            value += int(float(fraction) * (float(unit) / scale))
            if value > 2**63:
                return None
        total += value
        if total > 2**63:
            return None
        rest = rest[part.end():]
    total *= sign
    return None if total > MAX else total


def first_tick_ns(tick):
    whole, fraction = re.fullmatch(r"([^.Z]+)(?:\.(\d+))?Z", tick).groups()
    seconds = dt.datetime.fromisoformat(whole + "+00:00") - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    return (seconds.days * 86400 + seconds.seconds) * 10**9 + int((fraction or "0").ljust(9, "0"))


def check(ask, texts):
    answers = ask([{"config": {"interval": text}, "from": "1970-01-01T00:00:00Z", "count": 1} for text in texts])
    for text, answer in zip(texts, answers):
        wanted = go(text)
        if wanted is None or wanted < MIN_NS:
            assert "problems" in answer and "interval: " in answer["problems"][0], (text, answer)
        elif wanted < 9_223_286_400 * 10**9:
            assert [first_tick_ns(tick) for tick in answer["ticks"]] == [wanted], text
        else:
            assert answer == {"ticks": []}, text


def random_duration(rng):
    text = rng.choice(["", "", "", "", "+", "-"])
    for _ in range(rng.randint(1, 3)):
        number = str(rng.randint(0, 10 ** rng.randint(0, 6)))
        if rng.random() < 0.4:
            number += "." + str(rng.randint(0, 10 ** rng.randint(0, 12))).zfill(rng.randint(0, 12))
        if rng.random() < 0.05:
            number = number.lstrip("0123456789")
        text += number + rng.choice(list(UNITS))
    return text


def test_random_durations_are_read_as_go_reads_them(ask, rng):
    check(ask, [random_duration(rng) for _ in range(3000)])


def test_random_mistakes_are_refused(ask, rng):
    letters = "0123456789.hmsun+- µ"
    check(ask, [text for text in ("".join(rng.choice(letters) for _ in range(rng.randint(1, 8))) for _ in range(2000))
                if not re.fullmatch(r"[\s+-]*[\d.]*\s*", text)])


@pytest.mark.parametrize("text", ["1s", "1.5s", "90s", "1h30m", "1ms", "1.000000001s", "999us", "0", "0s", "-1s", "1", "s", ".s", ".5s", "1.s",
                                  "1h-30m", "1e3s", "1d", "2562047h47m16.854775807s", "2562047h47m16.854775808s", "9223372036854775807ns",
                                  "9223372036854775808ns", "3000000h", "1S", "1 s", "0x1s", "1_000s", "1m1m", "+5s", "--5s"])
def test_edges(ask, text):
    check(ask, [text])


def test_a_grid_does_not_drift(ask, rng):
    for _ in range(50):
        every = rng.choice([10**6, 1_500_000_000, 45 * 10**9, 7 * 10**9, rng.randint(10**6, 10**12)])
        (answer,) = ask([{"config": {"interval": f"{every}ns"}, "from": "2026-03-01T00:00:00Z", "count": 50}])
        ticks = [first_tick_ns(tick) for tick in answer["ticks"]]
        assert all(tick % every == 0 for tick in ticks) and all(b - a == every for a, b in zip(ticks, ticks[1:]))
        assert ticks[0] - every <= 1_772_323_200 * 10**9 < ticks[0]
