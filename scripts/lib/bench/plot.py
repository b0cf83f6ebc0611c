"""A picture of what a node costs against the size of its fleet, as SVG."""

import statistics

WIDTH, HEIGHT, EDGE = 460, 300, 56
COLOURS = {"redis-sentinel": "#c0392b", "cfgserver": "#1f618d"}
PANELS = [("cpu %", "CPU of a node, % of a core"), ("memory MiB", "memory of a node, MiB"),
          ("commands/s", "commands that the fleet gets per second"), ("known after s", "all known after, seconds")]


def series(results, figure):
    """(plane, down-after) -> [(groups, value)]"""
    found = {}
    for plane, measures in results.items():
        for name, values in measures.get("rest", {}).items():
            groups, _, after = name.partition(" groups, ")
            value = values[figure]
            value = statistics.median(value) if isinstance(value, list) else value
            found.setdefault((plane, after), []).append((int(groups), value))
    return {key: sorted(points) for key, points in found.items()}


def panel(results, figure, title, left):
    lines = series(results, figure)
    points = [point for line in lines.values() for point in line]
    if not points:
        return []
    widest, highest = max(x for x, _ in points), max(y for _, y in points) or 1
    x_of = lambda x: left + EDGE + x / widest * (WIDTH - 2 * EDGE)
    y_of = lambda y: HEIGHT - EDGE - y / highest * (HEIGHT - 2 * EDGE)
    out = [f'<text x="{left + WIDTH / 2}" y="24" text-anchor="middle" font-weight="bold">{title}</text>',
           f'<path d="M{left + EDGE} {EDGE} V{HEIGHT - EDGE} H{left + WIDTH - EDGE}" fill="none" stroke="#555"/>',
           f'<text x="{left + EDGE - 6}" y="{y_of(highest) + 4}" text-anchor="end">{highest:.3g}</text>',
           f'<text x="{left + EDGE - 6}" y="{y_of(0) + 4}" text-anchor="end">0</text>']
    for x in sorted({x for x, _ in points}):
        out.append(f'<text x="{x_of(x)}" y="{HEIGHT - EDGE + 18}" text-anchor="middle">{x}</text>')
    for number, ((plane, after), line) in enumerate(sorted(lines.items())):
        dash = "" if after.endswith(" 30 s") else ' stroke-dasharray="6 4"'
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
        colour = COLOURS[plane]
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        out += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        out.append(f'<text x="{left + EDGE + 10}" y="{EDGE + 14 * number}" fill="{colour}">{plane}, {after}</text>')
    return out


def write(file, results):
    """Writes the picture; whether there was anything to draw."""
    panels = [panel(results, figure, title, number * WIDTH) for number, (figure, title) in enumerate(PANELS)]
    if not any(panels):
        return False
    with open(file, "w", encoding="utf-8") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(PANELS)}" height="{HEIGHT}" '
                  'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>\n')
        out.write("\n".join(line for lines in panels for line in lines))
        out.write(f'\n<text x="{EDGE}" y="{HEIGHT - 8}">groups of a primary and a replica</text></svg>\n')
    return True
