"""The table: both planes side by side, and the ratio."""

import statistics


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def middle(value):
    """The median of a list, the number itself otherwise."""
    if isinstance(value, list):
        return statistics.median(value) if value else None
    return value


def shown(value):
    if isinstance(value, list) and len(value) > 1:
        return f"{number(middle(value))} ({number(min(value))}-{number(percentile_99(value))})"
    return number(middle(value))


def flat(measures):
    """Name and value of every figure, in the order in which they were measured."""
    for name, value in measures.items():
        if isinstance(value, dict):
            for inner, figure in flat(value):
                yield f"{name}: {inner}", figure
        else:
            yield name, value


def lines(results):
    figures = {plane: dict(flat(measures)) for plane, measures in results.items()}
    theirs, ours = figures.get("redis-sentinel", {}), figures.get("cfgserver", {})
    names = list(dict.fromkeys([*theirs, *ours]))
    out = [f"{'median (lowest-p99)':<52} {'redis-sentinel':>26} {'cfgserver':>26} {'ratio':>7}"]
    for name in names:
        their, our = middle(theirs.get(name)), middle(ours.get(name))
        ratio = f"{our / their:.2f}" if their and our is not None else "-"
        out.append(f"{name:<52} {shown(theirs.get(name)):>26} {shown(ours.get(name)):>26} {ratio:>7}")
    return out


def percentile_99(values):
    """The highest of so few: never better than what was seen."""
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]
